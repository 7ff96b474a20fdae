"""Holds the namespaces of one bed, and ends with its owner: `keeper.py FOLDER CGROUPS` with a pipe as standard input.

The keeper's child is the first process of new namespaces of processes, mounts and network; its id goes to standard
output when they are ready. When the pipe closes, by the owner or by its death, the keeper kills the child: with it the
kernel ends every process inside, however it was started, and with these the mounts, links, routes and rules. What no
namespace holds, the control groups whose names begin with CGROUPS and the files but for the logs, the keeper removes.
Standard library only, since it is started as a plain file.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

_NEW_MOUNTS: Final = 0x00020000
_NEW_PROCESSES: Final = 0x20000000
_NEW_NETWORK: Final = 0x40000000
_BIND: Final = 0x1000
_RECURSIVE: Final = 0x4000
_PRIVATE: Final = 0x40000
_SHARED: Final = 0x100000
_PARENT_DEATH_SIGNAL: Final = 1

PLACES: Final = ("/run", "/tmp/hostpath_pv", "/var/lib/kubelet", "/var/log")  # noqa: S108  where the programs write
"""Where the programs of a node write whatever they are told; inside, each is a folder of the bed."""

_libc = ctypes.CDLL(None, use_errno=True)


def main(folder: Path, groups: str) -> None:
    # Ctrl-C reaches the whole foreground group; the owner decides when its bed ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    made = [place for place in map(Path, PLACES) if not place.exists()]
    for place in made:
        place.mkdir(parents=True)
    _check(_libc.unshare(_NEW_PROCESSES), "unshare")
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ready)
        _hold(folder, tell)
    os.close(tell)
    if os.read(ready, 1):
        print(child, flush=True)
        sys.stdin.buffer.read()
    _end(child)
    remove_groups(groups)
    _remove_files(folder, made)


def _hold(folder: Path, tell: int) -> None:
    """The first process inside: prepares the namespaces, then collects whatever is left without a parent."""
    _check(_libc.prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL), "prctl")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    _check(_libc.unshare(_NEW_MOUNTS | _NEW_NETWORK), "unshare")
    _mount(None, "/", None, _RECURSIVE | _PRIVATE)
    # The kubelet's mounts must reach containers, within this namespace.
    _mount(None, "/", None, _RECURSIVE | _SHARED)
    _mount("proc", "/proc", "proc", 0)
    for place in PLACES:
        own = folder / "places" / place.strip("/").replace("/", "-")
        own.mkdir(parents=True)
        _mount(str(own), place, None, _BIND)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    os.write(tell, b"1")
    os.close(tell)
    while True:
        signal.sigwait({signal.SIGCHLD})
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _end(child: int) -> None:
    """Returns when every process of the namespace is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def remove_groups(prefix: str) -> None:
    """Remove the control groups whose names begin so, deepest first; their processes are gone."""
    hierarchies = [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").glob("*/")]
    for found in (found for hierarchy in hierarchies for found in hierarchy.glob(f"{prefix}*/")):
        for path, _, _ in os.walk(found, topdown=False):
            with contextlib.suppress(OSError):
                Path(path).rmdir()


def _remove_files(folder: Path, made: list[Path]) -> None:
    for entry in folder.iterdir():
        if entry.name != "logs":
            shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink()
    for place in made:
        with contextlib.suppress(OSError):  # Another bed has it now.
            place.rmdir()


def _mount(source: str | None, target: str, kind: str | None, flags: int) -> None:
    encoded = [text and text.encode() for text in (source, target, kind)]
    _check(_libc.mount(*encoded, ctypes.c_ulong(flags), None), f"mount {target}")


def _check(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
