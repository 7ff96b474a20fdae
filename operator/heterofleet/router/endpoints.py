"""The engines that a router knows: who serves, what each holds, and which breaker is open.

Two sources fill it, a watch of Pods (`kube`) or a file (`files`), through `Registry.replace`; the last known list stays
in force while a source is away. An endpoint is one object for its whole life, so that its counts, its breaker and its
connections survive whatever the source says of its readiness.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from heterofleet.api.labels import Tier
from heterofleet.api.places import BreakerPolicy
from heterofleet.router import pick
from heterofleet.router.breaker import Breaker
from heterofleet.router.pick import Ring
from heterofleet.router.upstream import Pool

FOREIGN_WEIGHT: Final = float(pick.EXPECTED_TOKENS)
"""Work of a request that another router sent, of which only its existence is known."""


class Address(NamedTuple):
    """Where an engine listens."""

    host: str
    port: int

    @property
    def key(self) -> str:
        """host:port, the stable name in metrics, logs and hashing."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a source says of one engine."""

    address: Address
    tier: Tier
    ready: bool = True
    draining: bool = False
    life: str = ""
    """Changes when another process took the address: counts and breaker begin anew."""
    model: str | None = None
    """The only name that the engine answers to, where it does not know ours."""


class Endpoint:
    """One engine. `load` is the work in flight in units of `pick.weight`, ours and what the engine has from others.

    `cache_use` is the share of its KV cache that running sequences hold, by its own word; 0 while it gives none.
    """

    __slots__ = (
        "_own", "address", "breaker", "cache_use", "draining", "foreign", "head", "idle_since", "in_flight", "key",
        "life", "load", "model", "pool", "ready", "tier",
    )  # fmt: skip

    def __init__(self, seen: Sighting, breaker: Breaker, now: float) -> None:
        self.address = seen.address
        self.key = seen.address.key
        self.tier = seen.tier
        self.life = seen.life
        self.ready = seen.ready
        self.draining = seen.draining
        self.breaker = breaker
        self.pool = Pool(seen.address.host, seen.address.port)
        self.head = f"\r\nhost: {self.key}\r\n".encode()
        self.model = seen.model
        self.in_flight = 0
        self.load = 0.0
        self.foreign = 0
        self.cache_use = 0.0
        self.idle_since = now
        self._own = 0.0

    def take(self, weight: float) -> None:
        """One more request of ours, of this much work."""
        self.in_flight += 1
        self._own += weight
        self.load = self._own + self.foreign * FOREIGN_WEIGHT

    def give_back(self, weight: float, now: float) -> None:
        """A request of ours has ended."""
        self.in_flight -= 1
        # With nothing in flight there is no work, whatever the sums of floats say.
        self._own = max(0.0, self._own - weight) if self.in_flight else 0.0
        self.load = self._own + self.foreign * FOREIGN_WEIGHT
        self.idle_since = now

    def heard(self, held: int, cache_use: float = 0.0) -> None:
        """The engine says how many requests it holds, of which those that are not ours are other routers'."""
        self.cache_use = cache_use
        self.foreign = max(0, held - self.in_flight)
        self.load = self._own + self.foreign * FOREIGN_WEIGHT

    @property
    def serves(self) -> bool:
        """Whether it may get new requests, its breaker aside."""
        return self.ready and not self.draining


class Group:
    """The endpoints of one tier that serve, and the ring over them."""

    __slots__ = ("_by_key", "_ring", "known", "serving")

    def __init__(self) -> None:
        self.known: tuple[Endpoint, ...] = ()
        self.serving: tuple[Endpoint, ...] = ()
        self._by_key: dict[str, Endpoint] = {}
        self._ring: Ring | None = None

    def replace(self, endpoints: Sequence[Endpoint]) -> bool:
        """Takes the tier's endpoints; True when who serves has changed."""
        self.known = tuple(endpoints)
        serving = tuple(endpoint for endpoint in endpoints if endpoint.serves)
        changed = serving != self.serving
        if changed:
            self.serving, self._ring = serving, None
            self._by_key = {endpoint.key: endpoint for endpoint in serving}
        return changed

    @property
    def ring(self) -> Ring:
        """Consistent hashing over those that serve; built when it is first needed after a change."""
        if self._ring is None:
            self._ring = Ring(endpoint.key for endpoint in self.serving)
        return self._ring

    def home(self, affinity: int) -> Endpoint | None:
        """Whose a conversation is, as long as it has room; None where nobody serves."""
        home = self.ring.home(affinity)
        return None if home is None else self._by_key[home]

    def with_room(self, most: int, now: float, tried: Iterable[str] = ()) -> list[Endpoint]:
        """Those that serve, whose breaker lets a request through, and that hold less than `most`."""
        return [
            endpoint
            for endpoint in self.serving
            if endpoint.in_flight + endpoint.foreign < most
            and endpoint.key not in tried
            and endpoint.breaker.allows(now)
        ]

    def works(self, now: float) -> bool:
        """Whether any endpoint could take a request now or when it has room."""
        return any(endpoint.breaker.allows(now) for endpoint in self.serving)


class Registry:
    """All endpoints of both tiers."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._endpoints: dict[Address, Endpoint] = {}
        self.groups: Mapping[Tier, Group] = {tier: Group() for tier in Tier}
        self.policy = BreakerPolicy()
        self.synced = False

    def __iter__(self) -> Iterable[Endpoint]:
        return iter(self._endpoints.values())

    def all(self) -> list[Endpoint]:
        return list(self._endpoints.values())

    def replace(self, sightings: Iterable[Sighting]) -> bool:
        """Takes what a source sees now, whole; True when who serves has changed."""
        seen = {sighting.address: sighting for sighting in sightings}
        for address in [a for a in self._endpoints if a not in seen or self._endpoints[a].life != seen[a].life]:
            # What it has in flight goes on; its connections close one by one as their requests end.
            gone = self._endpoints.pop(address)
            gone.draining = True
            gone.pool.retire()
        for address, sighting in seen.items():
            known = self._endpoints.get(address)
            if known is None:
                self._endpoints[address] = Endpoint(sighting, self._breaker(), self._now())
            else:
                known.ready, known.draining, known.tier = sighting.ready, sighting.draining, sighting.tier
                known.model = sighting.model
        self.synced = True
        return self._regroup()

    def _regroup(self) -> bool:
        changed = [
            group.replace(sorted((e for e in self._endpoints.values() if e.tier is tier), key=lambda e: e.key))
            for tier, group in self.groups.items()
        ]
        return any(changed)

    def configure(self, policy: BreakerPolicy) -> None:
        """New breakers follow `policy`; known ones begin anew when it has changed."""
        if policy == self.policy:
            return
        self.policy = policy
        for endpoint in self._endpoints.values():
            endpoint.breaker = self._breaker()

    def _breaker(self) -> Breaker:
        return Breaker(self.policy.failures, self.policy.open_seconds)
