"""The control groups of a bed's nodes: each has one of its own, since a kubelet ends pods that it does not know."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/sys/fs/cgroup")


def make(name: str) -> None:
    """One group of that name in every hierarchy."""
    if (_ROOT / "cgroup.controllers").exists():
        controllers = (_ROOT / "cgroup.controllers").read_text().split()
        (_ROOT / "cgroup.subtree_control").write_text(" ".join(f"+{controller}" for controller in controllers))
        (_ROOT / name).mkdir(exist_ok=True)
        return
    for hierarchy in _hierarchies():
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        # A group without processors and memory of its own takes no process.
        for file in ("cpuset.cpus", "cpuset.mems"):
            if (hierarchy / file).exists():
                (group / file).write_text((hierarchy / file).read_text())


def processes(name: str) -> set[int]:
    """The ids, as this machine counts, of what runs in a group and in those below it."""
    hierarchy = _ROOT / "pids" if (_ROOT / "pids").is_dir() else _ROOT
    return {int(pid) for file in (hierarchy / name).rglob("cgroup.procs") for pid in file.read_text().split()}


def _hierarchies() -> Iterator[Path]:
    # `unified` has no controllers here: the older hierarchies hold them.
    return (path for path in _ROOT.iterdir() if path.is_dir() and not path.is_symlink() and path.name != "unified")
