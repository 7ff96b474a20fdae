"""Everything that a soak runs, and what it knows of the time in which an ask was under way."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from heterofleet.api.labels import Tier
from soak.configuration import Configuration
from soak.engines import Engine
from soak.history import History, Trouble
from soak.routers import Life, Router


@dataclass
class Site:
    """The parts of one soak. `now` tells seconds; `begins` is when load and faults do; `faults` counts them by kind."""

    engines: Mapping[str, Engine]
    routers: tuple[Router, ...]
    configuration: Configuration
    now: Callable[[], float]
    history: History = field(default_factory=History)
    faults: Counter[str] = field(default_factory=Counter)
    begins: float = 0.0

    @property
    def tiers(self) -> Mapping[str, Tier]:
        return {key: engine.tier for key, engine in self.engines.items()}

    @property
    def lives(self) -> list[Life]:
        """All processes that routers have had."""
        return [life for router in self.routers for life in router.lives]

    def troubles(self, engine: str | None, since: float, until: float) -> set[Trouble]:
        return self.history.troubled(self.engines if engine is None else (engine,), since, until)

    def killed(self, life: str, before: float) -> bool:
        return any(
            found.name == life and found.killed_at is not None and found.killed_at <= before for found in self.lives
        )
