"""What may be typed after `heterofleet recommend`, beside the options that every reader of traces has.

Only argparse is loaded here, since every command's help is built from it.
"""

import argparse
from collections.abc import Callable
from math import isfinite
from typing import Final

_GPU: Final = "NVIDIA-A100-SXM4-80GB"


def add(command: argparse.ArgumentParser) -> None:
    """Add the command's own options."""
    command.add_argument(
        "trace", nargs="?", metavar="TRACE",
        help="what was asked for: .csv, .csv.gz, .parquet, or http(s)://… of a Prometheus; answers unless given",
    )  # fmt: skip
    command.add_argument("--fleet", metavar="NAME", help="whose load: in the Prometheus, or in the cluster's status")
    _add_answers(command)
    _add_wishes(command)
    command.add_argument("--name", default="recommended", metavar="NAME", help="of the written fleet; recommended")
    command.add_argument("--write", metavar="FILE", help="write the fleet here, as -o yaml prints it")
    command.add_argument("--seed", type=_whole(0, 2**31), default=0, metavar="NUMBER", help="of what is drawn; 0")


def _add_answers(command: argparse.ArgumentParser) -> None:
    command.add_argument("--qps", type=_number(1e-3, 1e6), metavar="NUMBER", help="requests a second, busiest hour")
    command.add_argument("--steps", type=_number(0, 1000), metavar="N", help="act requests for each plan; 5")
    command.add_argument("--prompt-tokens", type=_number(1, 1e6), metavar="NUMBER", help="of a mean prompt; 1000")
    command.add_argument("--output-tokens", type=_number(1, 1e6), metavar="NUMBER", help="of a mean answer; 500")
    use = command.add_mutually_exclusive_group()
    use.add_argument("--batch", action="store_true", help="nobody waits: the same load all day, 60 s to a first token")
    use.add_argument("--interactive", action="store_true", help="people wait: a day that falls at night (default)")
    command.add_argument(
        "--quality", choices=("usual", "strict"), default="usual", help="strict: answers must be alike; usual"
    )
    command.add_argument(
        "--escalation-rate", type=_number(0, 1), metavar="SHARE", help="of steps that the large model repeats; 0.05"
    )


def _add_wishes(command: argparse.ArgumentParser) -> None:
    command.add_argument("--pair", metavar="NAME", help="qwen3 unless given; a wrong name lists them; or LARGE+SMALL")
    command.add_argument("--gpus", type=_whole(1, 100_000), metavar="NUMBER", help="that may be held at once")
    command.add_argument("--gpu", metavar="PRODUCT", help=f"label nvidia.com/gpu.product of the nodes; {_GPU}")
    command.add_argument("--gpus-per-node", type=_whole(1, 64), metavar="NUMBER", help="8 unless given")
    command.add_argument("--usd-per-gpu-hour", type=_number(0, 10_000), metavar="USD", help="2.2 unless given")
    command.add_argument("--max-model-len", type=_whole(1, 10_000_000), metavar="TOKENS", help="of prompt and answer")
    command.add_argument("--ttft", type=_number(0.001, 600), metavar="SECONDS", help="to the first token; 4")
    command.add_argument("--inter-token", type=_number(0.001, 60), metavar="SECONDS", help="between two tokens; 0.1")
    command.add_argument(
        "--attainment", type=_number(0.5, 0.9999), metavar="SHARE", help="of requests that get both; 0.99"
    )
    command.add_argument(
        "--weights", metavar="FOLDER", help="of each node, where weights are kept, or none; /var/lib/models"
    )


def _number(least: float, most: float) -> Callable[[str], float]:
    """Reads a number within; NaN, which is in no order, is without."""

    def read(given: str) -> float:
        try:
            number = float(given)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{given!r} is not a number") from None
        if not (isfinite(number) and least <= number <= most):
            raise argparse.ArgumentTypeError(f"{given} is not between {least:g} and {most:,.10g}")
        return number

    return read


def _whole(least: int, most: int) -> Callable[[str], int]:
    inner = _number(least, most)

    def read(given: str) -> int:
        number = inner(given)
        if number != int(number):
            raise argparse.ArgumentTypeError(f"{given} is not a whole number")
        return int(number)

    return read
