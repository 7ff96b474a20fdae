"""Runs an EngineLike as a process with vLLM's command line, for supervisors to run.

    python -m testbed.engineprocess serve MODEL --port 8000 ...

Unknown arguments are ignored, as tests hand over what a fleet renders.
"""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Reads what `vllm serve` is given, and the test bed's own arguments."""
    parser = argparse.ArgumentParser(prog="engineprocess", allow_abbrev=False)
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("model")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--served-model-name", nargs="+", default=["model"])
    parser.add_argument("--shutdown-timeout", type=float, default=0.0)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--headless", action="store_true")
    parser.add_argument("--testbed-start-seconds", type=float, default=0.0)
    parser.add_argument("--testbed-cannot-generate", action="store_true")
    return parser.parse_known_args(arguments)[0]


async def serve(options: argparse.Namespace) -> int:
    """Lives until SIGTERM, as a rank of vLLM does; a headless rank serves nothing and outlives its leader."""
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    if options.headless:
        await told.wait()
        return 0
    # Headless ranks start in a third of the time without these, and most ranks are headless.
    from aiohttp import web  # noqa: PLC0415

    from testbed import enginelike  # noqa: PLC0415

    keys = json.loads(options.config.read_text())["api-key"] if options.config else []
    engine = enginelike.EngineLike(options.served_model_name, keys)
    engine.state.can_generate = not options.testbed_cannot_generate
    await asyncio.sleep(options.testbed_start_seconds)
    runner = web.AppRunner(engine.application(), handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, options.host, options.port, reuse_address=True).start()
    print(f"engineprocess: serving on {options.host}:{options.port}", flush=True)
    await told.wait()
    await engine.drained(options.shutdown_timeout)
    await runner.cleanup()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(serve(parse(sys.argv[1:]))))
