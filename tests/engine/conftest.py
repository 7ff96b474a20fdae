"""Two real engines, a large and a small one, for all tests of a session; where vLLM cannot be, they are skipped."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine import pods
from engine.pods import EnginePod
from heterofleet.api.labels import Tier
from supervisor import kubelet
from testbed import cache, vllmcpu

FIRST_RING = {"current": "first-key-of-the-ring", "next": "second-key-of-the-ring"}


@dataclass(frozen=True)
class Engines:
    """The engines of the fleet `chat`, and the folder of the ring that is mounted in them and in routers."""

    large: EnginePod
    small: EnginePod
    ring: Path

    @property
    def key(self) -> str:
        return (self.ring / "current").read_text()

    def turn(self, **keys: str) -> None:
        """Puts another ring in the place of the present one."""
        for name in [path.name for path in self.ring.iterdir() if path.name not in keys]:
            (self.ring / name).unlink()
        for name, key in keys.items():
            (self.ring / name).write_text(key)


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    try:
        fleet = pods.fleet(vllmcpu.models())
    except vllmcpu.MissingError as exc:
        pytest.skip(str(exc))
    folder = tmp_path_factory.mktemp("engines")
    ring = folder / "ring"
    ring.mkdir()
    for name, key in FIRST_RING.items():
        (ring / name).write_text(key)
    mounted = kubelet.mount(folder)
    started: list[EnginePod] = []
    try:
        for tier in Tier:
            with cache.step(f"starting vLLM as the {tier} tier"):
                started.append(EnginePod(fleet, tier, mounted, folder / tier, ring))
                started[-1].wait_ready()
        found = {pod.tier: pod for pod in started}
        yield Engines(found[Tier.LARGE], found[Tier.SMALL], ring)
    finally:
        for pod in started:
            pod.container.destroy()
