"""Who competes: engines and every system started once and kept, so that rounds change between them without a pause.

A system that nobody asks needs some thousandths of its core. Systems that this machine cannot have are left out, and
why is said where they are brought.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.routerbench import bodies, engines, ours, peers, systems
from benchmarks.routerbench.ours import Ours
from benchmarks.routerbench.systems import Running, System
from benchmarks.routerbench.throughput import Entrant
from benchmarks.routerbench.wrk import Load
from heterofleet.api.policy import Profile
from testbed import debian, ports

ENGINES_A_TIER: Final = 4
SMALL_BODY, LARGE_BODY = 1024, 8192
DIRECT, NGINX, LITELLM = "direct", "nginx", "litellm"
POWER_OF_TWO, CACHE_AWARE = "vllm-router power_of_two", "vllm-router cache_aware"
DEFAULT, DEFAULT_ACT, LEAN = "heterofleet", "heterofleet, class act", "heterofleet lean"


@dataclass(frozen=True)
class Site:
    """Where a benchmark runs: its folder, its tools, and the length of a run."""

    folder: Path
    wrk: Path
    nginx: Path
    seconds: float

    @classmethod
    def prepare(cls, folder: Path, seconds: float) -> "Site":
        """Raises RuntimeError where the tools that nothing can do without are missing."""
        wrk, nginx = debian.tool("wrk"), debian.tool("nginx")
        if wrk is None or nginx is None:
            raise RuntimeError("wrk and nginx are needed, and one of them cannot be had here")
        return cls(folder, wrk, nginx, seconds)


@dataclass(frozen=True)
class Texts:
    """What is sent, as lists and as files for the load generator."""

    auto: list[str]
    act: list[str]
    affine: list[str]
    folder: Path

    @classmethod
    def make(cls, folder: Path) -> "Texts":
        made = cls(
            bodies.single_questions("auto", 256, SMALL_BODY),
            bodies.single_questions("act", 256, SMALL_BODY),
            bodies.conversations("plan", 256, 4, LARGE_BODY),
            folder,
        )
        for name in ("auto", "act", "affine"):
            bodies.write(getattr(made, name), made.path(name))
        return made

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.jsonl"


@dataclass(frozen=True)
class Field:
    """All that runs."""

    direct: Running
    default: Ours
    lean: Ours
    peers: dict[str, Running]
    texts: Texts

    def entrants(self, seconds: float) -> list[Entrant]:
        """Those who get bodies of 1 KB, of which the router finds the class, in the order of a round."""
        auto, act = (Load(self.texts.path(name), seconds) for name in ("auto", "act"))
        slow = auto._replace(slow=True)
        return [
            Entrant(DIRECT, self.direct, auto, self.texts.auto),
            *(
                Entrant(name, running, slow if name == LITELLM else auto, self.texts.auto)
                for name, running in self.peers.items()
                if name != CACHE_AWARE
            ),
            Entrant(DEFAULT, self.default.running, auto, self.texts.auto, self.default),
            Entrant(DEFAULT_ACT, self.default.running, act, self.texts.act, self.default),
            Entrant(LEAN, self.lean.running, auto, self.texts.auto, self.lean),
        ]

    def affine_entrants(self, seconds: float) -> list[Entrant]:
        """Those who get conversations of 8 KB for the large tier."""
        load, sample = Load(self.texts.path("affine"), seconds), self.texts.affine
        peer = self.peers.get(CACHE_AWARE)
        return [
            Entrant(DIRECT, self.direct, load, sample),
            *([Entrant(CACHE_AWARE, peer, load, sample)] if peer is not None else []),
            Entrant(DEFAULT, self.default.running, load, sample, self.default),
        ]


@contextlib.contextmanager
def engines_only(site: Site) -> Iterator[tuple[list[int], list[int]]]:
    """Engines of both tiers that answer, by their ports: large, small."""
    targets = ports.free(2 * ENGINES_A_TIER)
    with engines.answering(site.nginx, targets, site.folder):
        yield targets[:ENGINES_A_TIER], targets[ENGINES_A_TIER:]


@contextlib.contextmanager
def open_field(site: Site, texts: Texts) -> Iterator[Field]:
    """Everything as long as the context lasts."""
    with contextlib.ExitStack() as held:
        large, small = held.enter_context(engines_only(site))
        targets = [*large, *small]
        direct = held.enter_context(systems.running(peers.direct(targets[0], texts.auto[0]), site.folder))
        default, lean = (
            held.enter_context(_ours(site, name, large, small, profile, texts.auto[0]))
            for name, profile in ((DEFAULT, Profile.DEFAULT), (LEAN, Profile.LEAN))
        )
        others = {
            system.name: held.enter_context(systems.running(system, site.folder))
            for system in _peers(site, targets, texts.auto[0])
        }
        yield Field(direct, default, lean, others, texts)


@contextlib.contextmanager
def _ours(
    site: Site, name: str, large: Sequence[int], small: Sequence[int], profile: Profile, body: str
) -> Iterator[Ours]:
    own = ports.free(2)
    wanted = ours.system(name, ours.configuration(large, small, profile), own, body)
    with ours.started(wanted, own[1], site.folder) as started:
        yield started


def _peers(site: Site, targets: Sequence[int], body: str) -> Iterator[System]:
    yield peers.nginx(site.nginx, ports.free(1)[0], targets, body)
    vllm = peers.environment(peers.VLLM_ROUTER)
    if vllm is not None:
        yield peers.vllm_router(vllm, "power_of_two", ports.free(2), targets, body)
        # As many engines as the large tier has, which gets all of the conversations.
        yield peers.vllm_router(vllm, "cache_aware", ports.free(2), targets[:ENGINES_A_TIER], body)
    litellm = peers.environment(peers.LITELLM)
    if litellm is not None:
        yield peers.litellm(litellm, ports.free(1)[0], targets, "auto", body)
