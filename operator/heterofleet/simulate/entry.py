"""The process of one simulated engine: from its command line to its exit code.

SIGTERM and SIGINT end it as they end `vllm serve --shutdown-timeout S`: for S seconds what is under way is finished
while /health still says 200 and new requests get 500; then it exits with 0. A second signal, and S = 0, cut it off.
"""

import asyncio
import signal
import sys
from collections.abc import Sequence
from typing import NamedTuple

import uvloop

from heterofleet.simulate.api import Settings
from heterofleet.simulate.profile import Profile
from heterofleet.simulate.server import EngineServer


class Process(NamedTuple):
    """Where a process listens, and how long it may drain."""

    host: str
    port: int
    shutdown_timeout_seconds: float


def serve(process: Process, profile: Profile, served_names: Sequence[str], settings: Settings) -> int:
    """Run one engine until it is told to stop, and return the exit code."""
    return uvloop.run(_serve(process, EngineServer(profile, served_names, settings)))


async def _serve(process: Process, server: EngineServer) -> int:
    told = asyncio.Queue[None]()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.put_nowait, None)
    host, port = await server.start(process.host, process.port)
    # Whoever asked for port 0 reads here which one it is.
    sys.stdout.write(f"engine-sim: listening on http://{host}:{port}\n")
    sys.stdout.flush()
    await told.get()
    async with asyncio.TaskGroup() as group:
        draining = group.create_task(server.drain(process.shutdown_timeout_seconds))
        impatient = group.create_task(told.get())
        await asyncio.wait((draining, impatient), return_when=asyncio.FIRST_COMPLETED)
        impatient.cancel()
        if not draining.done():
            draining.cancel()
            await server.stop()
    return 0
