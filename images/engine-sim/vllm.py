"""`vllm serve` as the simulated engine plays it: with this on PATH a fleet takes the image for its `engine.image`.

What fleets and their supervisors write for vLLM becomes the command line of `heterofleet engine-sim`; flags that shape
a real engine alone are left out. A rank that is not the leader (`--headless`) serves nothing and waits for its end.
`ENGINE_SIM_ARGUMENTS` holds further arguments, such as `--profile tiny-small --load-seconds 3`.
"""

import argparse
import json
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from heterofleet.cli import main

_TAKEN: Final = ("host", "port", "max-model-len", "max-num-seqs", "shutdown-timeout", "scheduling-policy")
"""Flags with one value that mean the same to both."""


def translated(arguments: Sequence[str], further: str) -> list[str] | None:
    """The command line of the simulated engine, or None for a rank that serves nothing."""
    parser = argparse.ArgumentParser(prog="vllm", allow_abbrev=False)
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("model")
    parser.add_argument("--served-model-name", nargs="+", required=True)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--headless", action="store_true")
    parser.add_argument("--enable-prefix-caching", action=argparse.BooleanOptionalAction, default=None)
    for flag in _TAKEN:
        parser.add_argument(f"--{flag}")
    given, _ = parser.parse_known_args(arguments)
    if given.headless:
        return None
    command = ["engine-sim", "--served-model-name", *given.served_model_name]
    for flag in _TAKEN:
        value = getattr(given, flag.replace("-", "_"))
        command += [] if value is None else [f"--{flag}", value]
    if given.enable_prefix_caching is not None:
        command.append("--enable-prefix-caching" if given.enable_prefix_caching else "--no-enable-prefix-caching")
    keys = json.loads(given.config.read_text("utf-8"))["api-key"] if given.config is not None else []
    return [*command, *(["--api-key", *keys] if keys else []), *shlex.split(further)]


def run(arguments: Sequence[str]) -> int:
    # A rank may be told to end before it has begun to wait.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    command = translated(arguments, os.environ.get("ENGINE_SIM_ARGUMENTS", ""))
    if command is None:
        signal.sigwait({signal.SIGTERM})
        return 0
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    return main.main(command)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
