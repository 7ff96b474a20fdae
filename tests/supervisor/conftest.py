"""Supervisors as real processes on loopback, around engines that answer like vLLM."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisor import kubelet
from testbed import ports


@pytest.fixture(scope="session")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kubelet.mount(tmp_path_factory.mktemp("configmap"))


MakeGroup = Callable[..., kubelet.Group]


@pytest.fixture
def make_group(mounted: Path, tmp_path: Path) -> Iterator[MakeGroup]:
    """Groups of a size, with environment (keywords without the prefix) and further engine arguments."""
    groups: list[kubelet.Group] = []

    def make(size: int, *extra: str, **variables: str) -> kubelet.Group:
        named = {f"HETEROFLEET_{name.upper()}": value for name, value in variables.items()}
        home = tmp_path / f"group-{len(groups)}"
        home.mkdir()
        groups.append(kubelet.Group(mounted, home, size, named, *extra))
        return groups[-1]

    yield make
    for group in groups:
        group.destroy()


MakeContainer = Callable[..., kubelet.Container]


@pytest.fixture
def make_container(mounted: Path, tmp_path: Path) -> Iterator[MakeContainer]:
    """Single pods around any command."""
    containers: list[kubelet.Container] = []

    def make(*command: str, **variables: str) -> kubelet.Container:
        name = f"pod-{len(containers)}"
        named = {f"HETEROFLEET_{name.upper()}": value for name, value in variables.items()}
        port = str(ports.free(1)[0])
        defaults = {"HETEROFLEET_POD_NAME": name, "HETEROFLEET_SUPERVISOR_PORT": port}
        containers.append(kubelet.Container(mounted, tmp_path / name, command, {**defaults, **named}))
        return containers[-1]

    yield make
    for container in containers:
        container.destroy()
