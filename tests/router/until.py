"""Waits for what no event tells: a count that falls, a connection that another task closes."""

import asyncio
from collections.abc import Callable


async def until(holds: Callable[[], object]) -> None:
    """Lets the loop run until `holds`; the test's own time limit ends it else."""
    while True:
        if holds():
            return
        await asyncio.sleep(0.001)
