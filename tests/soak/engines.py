"""The simulated engines, each at an address of its own, and what is done to them."""

import asyncio
from collections.abc import Mapping
from typing import Final

from heterofleet.api.labels import Tier
from heterofleet.simulate.api import Settings
from heterofleet.simulate.faults import Faults
from heterofleet.simulate.server import EngineServer
from soak import fleet

PORT: Final = 8000
LOAD_SECONDS: Final = 0.5


class Engine:
    """One engine, which may be started and stopped many times."""

    def __init__(self, tier: Tier, host: str) -> None:
        self.tier, self.key = tier, f"{host}:{PORT}"
        self._host = host
        self._server: EngineServer | None = None

    async def start(self) -> None:
        """Begins anew, and waits until the model is loaded."""
        manner = fleet.MANNERS[self.tier]
        settings = Settings(quality=manner.quality, mean_tokens=manner.mean_tokens, load_seconds=LOAD_SECONDS)
        own, others = fleet.SERVED[self.tier], [name for name in fleet.names() if name != fleet.SERVED[self.tier]]
        self._server = EngineServer(fleet.PROFILES[self.tier], (own, *others), settings)
        await self._server.start(self._host, PORT)
        # By the same clock, so that the model is there afterwards.
        await asyncio.sleep(LOAD_SECONDS)

    async def kill(self) -> None:
        """Ends it at once; what it was answering is cut off."""
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop()

    async def drain(self, seconds: float) -> None:
        """Ends it when what it was answering is answered."""
        if self._server is not None:
            server, self._server = self._server, None
            await server.drain(seconds)

    def suffer(self, faults: Faults) -> None:
        """Lets these things go wrong, and nothing else."""
        if self._server is not None:
            self._server.set_faults(faults)

    @property
    def held(self) -> int:
        """Requests that it runs or that wait in it."""
        if self._server is None:
            return 0
        load = self._server.engine.load()
        return load.running + load.waiting


def build(prefix: str) -> Mapping[str, Engine]:
    """The fleet's engines by their keys, at addresses that begin with `prefix`."""
    made: list[Engine] = []
    for tier, count in fleet.COUNTS.items():
        made += [Engine(tier, f"{prefix}.{len(made) + number + 10}") for number in range(count)]
    return {engine.key: engine for engine in made}
