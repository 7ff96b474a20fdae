"""Which core does what: the system that is measured has one for itself, load and engines share the other."""

import os
from collections.abc import Sequence
from typing import Final

ROUTER: Final = 0
LOAD: Final = 1


def pinned(core: int, command: Sequence[str]) -> list[str]:
    """`command`, kept to one core; its process is the one that is started."""
    return ["taskset", "-c", str(core), *command]


def keep_to_load() -> None:
    """Keep this process to the core of the load. Raises RuntimeError on a machine with one core."""
    if not {ROUTER, LOAD} <= os.sched_getaffinity(0):
        raise RuntimeError("a router is measured alone on a core: cores 0 and 1 are needed, and one is not there")
    os.sched_setaffinity(0, {LOAD})
