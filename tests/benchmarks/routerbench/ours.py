"""Heterofleet's router as a system: alone, configured by a file, in its shipped default or in profile Lean.

Its access log goes through a pipe to `wc`, as a container's goes to whoever collects it, so that its lines can be
counted too.
"""

import contextlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.routerbench import cores, systems
from benchmarks.routerbench.systems import Running, System
from heterofleet.api import routing
from heterofleet.api.policy import Profile, RouterPolicy

LARGE, SMALL = "large-model", "small-model"
_ROOT: Final = Path(__file__).resolve().parents[3]
_GOOD: Final = "ok"


@cache
def compiled() -> Path:
    """Our sources as the image has them."""
    subprocess.run([sys.executable, str(_ROOT / "images" / "router" / "compiled.py")], check=True)
    return _ROOT / "build" / "compiled"


def configuration(large: Sequence[int], small: Sequence[int], profile: Profile) -> dict[str, Any]:
    """What is written into the file; all that is not said is as it is shipped."""
    tiers = (("large", large), ("small", small))
    document: dict[str, Any] = {
        "apiVersion": routing.API_VERSION,
        "kind": "RouterConfig",
        "fleet": "bench",
        "large": {"servedName": LARGE},
        "small": {"servedName": SMALL},
        "endpoints": [{"address": f"127.0.0.1:{port}", "tier": tier} for tier, ports in tiers for port in ports],
    }
    if profile is not Profile.DEFAULT:
        document["policy"] = {"profile": profile.value}
    return document


def policy_digest(profile: Profile) -> str:
    """The digest of what a fleet says that asks for nothing but a profile: ports of engines are not in it."""
    read, _ = routing.read(json.dumps(configuration((), (), profile)))
    return read.digest()


def what_lean_leaves_out() -> str:
    """The sentence of the API."""
    return str(RouterPolicy.model_fields["profile"].description)


def system(name: str, document: dict[str, Any], ports: Sequence[int], body: str) -> System:
    """`ports` are its own and that of its metrics."""

    def prepare(folder: Path) -> None:
        (folder / "config.yaml").write_text(yaml.safe_dump(document))

    port, metrics_port = map(str, ports)
    command = (
        sys.executable, "-m", "heterofleet.router.entry", "--config", "{folder}/config.yaml",
        "--host", "127.0.0.1", "--port", port, "--metrics-host", "127.0.0.1", "--metrics-port", metrics_port,
        "--linger-seconds", "0", "--drain-seconds", "5",
    )  # fmt: skip
    return System(name, command, ports[0], body, environment={"PYTHONPATH": str(compiled())}, prepare=prepare)


@dataclass(frozen=True)
class Counted:
    """What a router's own metrics say of the requests it has had."""

    offered: int
    good: int
    others: dict[str, int]

    @property
    def ended(self) -> int:
        return self.good + sum(self.others.values())

    def since(self, before: "Counted") -> "Counted":
        others = {name: number - before.others.get(name, 0) for name, number in self.others.items()}
        return Counted(self.offered - before.offered, self.good - before.good, {k: v for k, v in others.items() if v})


class Ours:
    """A router of ours that runs. Once it has ended, `last` are its counts and `lines` those of its access log."""

    def __init__(self, running: Running, metrics_port: int) -> None:
        self.running, self._metrics_port = running, metrics_port
        self.last: Counted | None = None
        self.lines = 0

    def counted(self) -> Counted:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics_port}/metrics", timeout=10) as answer:
            return counted(answer.read().decode())


@contextlib.contextmanager
def started(wanted: System, metrics_port: int, folder: Path) -> Iterator[Ours]:
    """A router of ours whose log somebody reads."""
    reader = subprocess.Popen(
        cores.pinned(cores.LOAD, ["wc", "-l"]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert reader.stdin is not None
    assert reader.stdout is not None
    try:
        with systems.running(wanted, folder, stdout=reader.stdin.fileno()) as running:
            ours = Ours(running, metrics_port)
            yield ours
            ours.last = ours.counted()
        reader.stdin.close()
        reader.wait(timeout=30)
        ours.lines = int(reader.stdout.read())
    finally:
        reader.kill()
        reader.wait()


def counted(exposition: str) -> Counted:
    """Sums of requests by how they came and ended."""
    offered = good = 0
    others: dict[str, int] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            if sample.name == "heterofleet_router_offered_total":
                offered += int(sample.value)
            elif sample.name == "heterofleet_router_requests_total":
                outcome = sample.labels["outcome"]
                if outcome == _GOOD:
                    good += int(sample.value)
                else:
                    others[outcome] = others.get(outcome, 0) + int(sample.value)
    return Counted(offered, good, others)
