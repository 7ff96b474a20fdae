"""The routers' files: one configuration for all, changed while they run, each time by replacing the file whole."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from heterofleet.api.labels import Tier
from soak import fleet

NONSENSE: Final = b"policy: {queue: {maxRequests: many}}\nfleet: [soak\n"
"""No configuration: routers keep the former one."""

_POLICY: Final[Mapping[str, Any]] = {
    "queue": {"maxRequests": 40, "planDeadlineSeconds": 6, "actDeadlineSeconds": 4},
    "retry": {"backoffSeconds": 0.02, "maxBackoffSeconds": 0.3, "maxSeconds": 30},
    "breaker": {"failures": 5, "openSeconds": 2, "probeIdleSeconds": 2},
    # Small, so that it is full at once: what is kept must not pass for memory that grows.
    "cache": {"exact": {"use": "Deterministic", "maxBytes": 65_536, "ttlSeconds": 20}},
    "auth": {"keysSecret": "soak-keys"},
    "tenants": {"named": [{"name": "alpha", "weight": 3.0}]},
    "limits": {"connectSeconds": 1, "firstByteSeconds": 8, "stallSeconds": 5},
}

VARIATIONS: Final[tuple[Mapping[str, Any], ...]] = (
    {},
    {"plan": {"bias": 0.5}},
    {"plan": {"bias": -0.5}},
    {"plan": {"degrade": "PreferSmall"}},
    {"policy": {"classification": {"threshold": 0.9}}},
    {"policy": {"classification": {"threshold": 0.1, "hints": False}}},
    {"policy": {"affinity": {"minPromptCharacters": 0, "loadBound": 1.0}}},
    {"policy": {"queue": {"maxRequests": 4, "planDeadlineSeconds": 2, "actDeadlineSeconds": 1, "spillOver": False}}},
    {"policy": {"queue": {"maxRequests": 40, "whenPlanOverflows": "Degrade"}}},
    {"policy": {"quality": {"holdStreamCharacters": 40}}},
    {"policy": {"adjustment": {"enabled": True}, "escalation": {"threshold": 0.99, "minSamples": 5}}},
    {"policy": {"breaker": {"failures": 2, "openSeconds": 1, "probeIdleSeconds": 1}}},
)
"""What the file says beyond the rest; none of it may cost a request."""


class Configuration:
    """What the files say now."""

    def __init__(self, files: Iterable[Path], engines: Mapping[str, Tier]) -> None:
        self._files, self._engines = tuple(files), engines
        self._draining: set[str] = set()
        self._variation: int | None = 0

    def vary(self, variation: int | None) -> None:
        """Another variation; None for what is no configuration."""
        self._variation = variation
        self._write()

    def drain(self, engine: str) -> None:
        self._draining.add(engine)
        self._restore()

    def serve(self, engine: str) -> None:
        self._draining.discard(engine)
        self._restore()

    def text(self) -> bytes:
        """The file, which is the same for all routers."""
        if self._variation is None:
            return NONSENSE
        varied = VARIATIONS[self._variation]
        policy = {name: {**_POLICY.get(name, {}), **varied.get("policy", {}).get(name, {})}
                  for name in (*_POLICY, *varied.get("policy", ()))}  # fmt: skip
        said = {"fleet": fleet.FLEET, "policy": policy, "plan": varied.get("plan", {}), "endpoints": self._endpoints()}
        for tier, name in fleet.SERVED.items():
            said[tier.value] = {"servedName": name, "maxInFlight": fleet.MAX_IN_FLIGHT}
        return orjson.dumps(said)

    def _endpoints(self) -> list[dict[str, Any]]:
        return [
            {"address": key, "tier": tier.value, **({"draining": True} if key in self._draining else {})}
            for key, tier in self._engines.items()
        ]

    def _restore(self) -> None:
        """An engine's state is told by a sound file: who drains an engine writes one."""
        if self._variation is None:
            self._variation = 0
        self._write()

    def _write(self) -> None:
        text = self.text()
        for path in self._files:
            fresh = path.with_suffix(".new")
            fresh.write_bytes(text)
            fresh.replace(path)
