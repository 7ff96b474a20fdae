"""What may be typed after `heterofleet cost`, beside the options that every reader of traces has."""

import argparse


def add(command: argparse.ArgumentParser) -> None:
    """Add the command's own options."""
    command.add_argument("fleet", nargs="?", metavar="FLEET", help="of the cluster: what it costs now")
    command.add_argument("--file", metavar="FILE", help="a fleet in YAML or JSON, to be played on --trace")
    command.add_argument("--trace", metavar="TRACE", help="what was asked for: .csv, .csv.gz, .parquet")
    command.add_argument("--name", metavar="NAME", help="which fleet, where --file holds several")
    command.add_argument("--prometheus", metavar="URL", help="with FLEET: what tokens cost in the last hour")
    command.add_argument("--steps", type=_number, metavar="N", help="act requests for each plan; 10 unless given")
    command.add_argument("--relative-cost", type=_number, metavar="C", help="a large token's over a small one's; 8.5")
    command.add_argument("--large", metavar="MODEL", help="in place of --relative-cost: ORG/NAME of the catalogue")
    command.add_argument("--small", metavar="MODEL", help="the small model, with --large")
    command.add_argument("--escalation-rate", type=_number, metavar="SHARE", help="of steps, done again as large; 0")
    command.add_argument("--retry-rate", type=_number, metavar="SHARE", help="of steps, done again as small; 0")
    command.add_argument("--review-rate", type=_number, metavar="SHARE", help="of steps that a person looks at; 0")
    command.add_argument("--usd-per-review", type=_number, metavar="USD", help="what a person costs for one")
    command.add_argument("--step-tokens", type=_number, metavar="NUMBER", help="of a step; 1000 unless given")
    command.add_argument(
        "--usd-per-million-tokens", type=_number, metavar="USD", help="of the small model: shows money a million tokens"
    )
    command.add_argument("--million-tokens-per-day", type=_number, metavar="NUMBER", help="shows money a day, too")
    command.add_argument(
        "--tco",
        nargs="?",
        const="",
        metavar="FILE",
        help="owning it for years; the source's case unless FILE says more",
    )
    command.add_argument(
        "--value", metavar="FILE", help="what faster, more and better answers are worth, as FILE assumes"
    )
    command.add_argument("--plot", metavar="FILE", help="draw it: .png or .svg")


def _number(given: str) -> float:
    try:
        return float(given)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{given!r} is not a number") from None
