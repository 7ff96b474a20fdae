"""The router, vllm-router and a relay that only copies under a thousand streams, round after round.

What the relay costs is the kernel's and the event loop's share of the others.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks.routerbench import bodies, children, cores, ours, peers, streams, systems
from benchmarks.routerbench.field import DEFAULT, POWER_OF_TWO, Site
from benchmarks.routerbench.streams import Streamed
from benchmarks.routerbench.systems import Running
from heterofleet.api.policy import Profile
from testbed import ports

ENGINES: Final = 8
BARE: Final = "bytes copied"
_SOURCES: Final = Path(__file__).resolve().parents[2]


def compare(site: Site, rounds: int, say: Callable[[str], None]) -> dict[str, list[Streamed]]:
    """What each of them needed, by name."""
    whole = bodies.single_questions("act", 1, 1024)[0]
    asked = whole.replace("{", '{"stream":true,', 1)
    found: dict[str, list[Streamed]] = {}
    with _field(site, whole) as running:
        for number in range(rounds):
            for system in running:
                taken = streams.measure(system, asked, site.seconds)
                found.setdefault(system.name, []).append(taken)
                say(
                    f"round {number + 1}: {system.name} {taken.cpu_us:.1f} us CPU a chunk, {taken.memory_mb:.0f} MB,"
                    f" {taken.chunks / site.seconds:,.0f} chunks/s in {taken.pieces:,} pieces of {taken.chunks:,},"
                    f" {taken.errors} errors"
                )
    return found


@contextlib.contextmanager
def _field(site: Site, body: str) -> Iterator[list[Running]]:
    """Engines that stream, and who stands before them."""
    targets = ports.free(ENGINES)
    command = [
        sys.executable, "-m", "benchmarks.routerbench.streamengine",
        str(streams.tokens(site.seconds)), str(streams.TOKEN_SECONDS), *map(str, targets),
    ]  # fmt: skip
    folder = site.folder / "streams"
    folder.mkdir()
    with contextlib.ExitStack() as held:
        environment = {"PYTHONPATH": str(_SOURCES)}
        engines = held.enter_context(
            children.running("stream engines", command, core=cores.LOAD, folder=folder, environment=environment)
        )
        children.await_listening(engines, targets[-1])
        yield [held.enter_context(started) for started in _systems(targets, body, folder)]


def _systems(targets: Sequence[int], body: str, folder: Path) -> Iterator[contextlib.AbstractContextManager[Running]]:
    own = ports.free(2)
    half = len(targets) // 2
    document = ours.configuration(targets[:half], targets[half:], Profile.DEFAULT)
    yield _running(ours.system(DEFAULT, document, own, body), own[1], folder)
    vllm = peers.environment(peers.VLLM_ROUTER)
    if vllm is not None:
        peer = peers.vllm_router(vllm, "power_of_two", ports.free(2), targets, body)
        assert peer.name == POWER_OF_TWO
        yield systems.running(peer, folder)
    (port,) = ports.free(1)
    command = (sys.executable, "-m", "benchmarks.routerbench.barerelay", str(port), *map(str, targets))
    bare = systems.System(BARE, command, port, body, environment={"PYTHONPATH": str(_SOURCES)})
    yield systems.running(bare, folder)


@contextlib.contextmanager
def _running(wanted: systems.System, metrics_port: int, folder: Path) -> Iterator[Running]:
    with ours.started(wanted, metrics_port, folder) as started:
        yield started.running
