"""The command line: every command, its options and its words of help.

Only argparse is loaded here. `completion` reads this parser too, so that shells offer what exists.
"""

import argparse
import difflib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from heterofleet.cli import costarguments, recommendarguments

_EPILOG: Final = """\
exit codes: 0 done, 1 failed or found errors, 2 wrong usage.
Colours are off when NO_COLOR is set or the output is not a terminal.
"""

TOP_ORDERS: Final = ("name", "queue", "flight", "requests", "tokens", "escalation", "money", "missing")
"""What `top` sorts by."""


class Parser(argparse.ArgumentParser):
    """argparse that names the command which was nearly typed."""

    def error(self, message: str) -> NoReturn:
        missed = re.match(r"argument \S+: invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if missed:
            # Newer versions of Python leave the quotes out.
            choices = [choice.strip("'") for choice in missed[2].split(", ")]
            close = difflib.get_close_matches(missed[1], choices, n=1)
            hint = f"did you mean {close[0]}?" if close else f"choose from {', '.join(choices)}"
            message = f"{missed[1]!r} is not known; {hint}"
        print(f"{self.prog}: {message}\nTry '{self.prog} --help'.", file=sys.stderr)
        raise SystemExit(2)


def parser() -> argparse.ArgumentParser:
    """The whole command line; `options.module` names the module of heterofleet.cli that runs it."""
    plugin = Path(sys.argv[0]).name.startswith("kubectl-")
    top = Parser(
        prog="kubectl heterofleet" if plugin else "heterofleet",
        description="Fleets of a large planning model, small executing models and the router between them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)
    _add_offline(commands)
    _add_reading(commands)
    _add_acting(commands)
    _add_explaining(commands)
    _add_training(commands)
    _add_playing(commands)
    _add_simulating(commands)
    _add_recommending(commands)
    _add_costing(commands)
    _add_own(commands)
    return top


# argparse has no public name for what add_subparsers returns.
Commands = argparse._SubParsersAction


def _command(
    commands: "Commands[Parser]", name: str, module: str, text: str, *, parents: Sequence[Parser] = ()
) -> Parser:
    added = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        parents=list(parents),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    added.set_defaults(module=module, command=name)
    return added


def _add_offline(commands: "Commands[Parser]") -> None:
    validate = _command(commands, "validate", "validate", "check fleets in files as admission and the operator would")
    validate.add_argument("files", nargs="+", metavar="FILE", help="YAML or JSON, a folder of them, or - for stdin")
    _add_output(validate)
    render = _command(commands, "render", "render", "print the objects that the operator would make of a fleet")
    render.add_argument("file", metavar="FILE", help="YAML or JSON, or - for stdin")
    render.add_argument("--fleet", metavar="NAME", help="which one, where the file holds several")
    render.add_argument("--kind", action="append", default=[], help="only objects of this kind (may be repeated)")
    render.add_argument("--engine-image", metavar="IMAGE", help="the operator's default engine image")
    render.add_argument("--router-image", metavar="IMAGE", help="the operator's default router image")
    render.add_argument("--monitoring", action="store_true", help="as where the Prometheus operator's APIs are served")
    render.add_argument("--pod-groups", action="store_true", help="as where scheduling.k8s.io PodGroups are served")
    _add_output(render, ("yaml", "json"))


def _add_reading(commands: "Commands[Parser]") -> None:
    cluster = _cluster()
    status = _command(commands, "status", "status", "show fleets, or one in depth", parents=[cluster])
    status.add_argument("fleet", nargs="?", metavar="FLEET", help="show this one with tiers, instances and ranks")
    status.add_argument("-A", "--all-namespaces", action="store_true", help="fleets of every namespace")
    status.add_argument("-w", "--watch", action="store_true", help="keep showing until interrupted")
    _add_output(status, ("table", "json", "yaml", "name"))
    top = _command(commands, "top", "top", "show fleets live: instances, queues, flow and money", parents=[cluster])
    top.add_argument("fleet", nargs="?", metavar="FLEET", help="show this one alone")
    top.add_argument("-A", "--all-namespaces", action="store_true", help="fleets of every namespace")
    top.add_argument("--once", action="store_true", help="show one picture and end, as in a pipe")
    top.add_argument("--interval", type=_interval, default=2.0, metavar="SECONDS", help="between pictures; 2")
    top.add_argument(
        "--sort", choices=TOP_ORDERS, default="name", help="largest first, but for name; name unless given"
    )
    top.add_argument("--prometheus", metavar="URL", help="ask it for the flow, in place of each fleet's routers")
    _add_output(top, ("table", "json", "yaml"))
    doctor = _command(commands, "doctor", "doctor", "check what a fleet needs of a cluster", parents=[cluster])
    _add_output(doctor)


def _add_acting(commands: "Commands[Parser]") -> None:
    cluster = _cluster()
    roll = _command(commands, "roll", "acts", "replace a fleet's pods by what is rendered today", parents=[cluster])
    retry = _command(commands, "retry", "acts", "let failed instances of a fleet try again", parents=[cluster])
    release = _command(commands, "release", "acts", "end counts set by hand before their time", parents=[cluster])
    for command in (roll, retry, release):
        command.add_argument("fleet", metavar="FLEET")
    release.add_argument("--tier", choices=("large", "small"), help="this tier alone")


def _add_explaining(commands: "Commands[Parser]") -> None:
    decisions = _command(
        commands, "explain", "explain", "say why a fleet's counts are what they are", parents=[_cluster()]
    )
    decisions.add_argument("fleet", metavar="FLEET")
    decisions.add_argument("--last", type=_positive, default=5, metavar="NUMBER", help="decisions told; 5 unless given")
    _add_output(decisions, ("text", "json", "yaml"))
    difference = _command(
        commands,
        "diff",
        "diff",
        "compare fleets in files with the cluster, and say what would roll",
        parents=[_cluster()],
    )
    difference.add_argument("files", nargs="+", metavar="FILE", help="YAML or JSON, a folder of them, or - for stdin")
    difference.add_argument("--exit-code", action="store_true", help="end with 1 where something differs, as git does")
    _add_output(difference, ("text", "json", "yaml"))
    explain = _command(
        commands, "explain-request", "explainrequest", "say what a router did with a request, from its access log"
    )
    explain.add_argument("request", metavar="ID", help="as the response has it in x-request-id")
    explain.add_argument("--log", default="-", metavar="FILE", help="the access log; - is standard input (default)")
    _add_output(explain, ("text", "json", "yaml"))


def _add_training(commands: "Commands[Parser]") -> None:
    train = _command(
        commands,
        "train-classifier",
        "trainclassifier",
        "learn from labelled traffic which requests a small model answers",
    )
    train.add_argument("file", metavar="DATA", help="labelled traffic: .csv or .jsonl, or one of them with .gz")
    train.add_argument("--weights", metavar="FILE", help="write the weights here, for routers to read")
    train.add_argument("--small", action="append", metavar="MODEL", help="a column of scores, a small model's (repeat)")
    train.add_argument("--large", action="append", metavar="MODEL", help="a column of scores, a large model's (repeat)")
    train.add_argument(
        "--seed", type=int, default=0, metavar="NUMBER", help="of what is drawn by chance; 0 unless given"
    )
    train.add_argument(
        "--threshold-for", type=float, metavar="SHARE", help="find the threshold that makes this share of requests plan"
    )
    _add_output(train)


def _add_playing(commands: "Commands[Parser]") -> None:
    engine = _command(commands, "engine-sim", "enginesim", "serve a simulated engine that speaks vLLM's API")
    engine.add_argument(
        "--served-model-name", nargs="+", required=True, metavar="NAME", help="its own name, and others"
    )
    engine.add_argument("--profile", default="tiny", metavar="NAME", help="how fast it is; tiny unless given")
    engine.add_argument("--host", default="127.0.0.1", help="127.0.0.1 unless given")
    engine.add_argument("--port", type=int, default=8000, help="8000 unless given; 0 takes a free one and prints it")
    engine.add_argument("--api-key", nargs="+", default=[], metavar="KEY", help="ask for one of these under /v1")
    engine.add_argument("--max-model-len", type=int, metavar="TOKENS", help="in place of the profile's")
    engine.add_argument("--max-num-seqs", type=int, metavar="NUMBER", help="in place of the profile's")
    engine.add_argument("--kv-cache-tokens", type=int, metavar="TOKENS", help="in place of the profile's")
    engine.add_argument(
        "--enable-prefix-caching", action=argparse.BooleanOptionalAction, help="as the profile has it unless given"
    )
    engine.add_argument("--scheduling-policy", choices=("fcfs", "priority"), default="fcfs", help="fcfs unless given")
    engine.add_argument(
        "--shutdown-timeout",
        type=_seconds,
        default=0,
        metavar="SECONDS",
        help="finish what runs at SIGTERM; 0 unless given",
    )
    engine.add_argument(
        "--load-seconds", type=_seconds, metavar="SECONDS", help="time to load, in place of the profile's"
    )
    engine.add_argument(
        "--time-scale", type=_rate, default=1.0, metavar="RATE", help="let its time run faster than ours"
    )
    engine.add_argument("--quality", type=_share, default=1.0, metavar="SHARE", help="of prompts that it answers well")
    engine.add_argument("--mean-tokens", type=int, default=48, metavar="NUMBER", help="of its answers; 48 unless given")
    engine.add_argument("--allow-faults", action="store_true", help="let POST /sim/faults break it")


def _add_simulating(commands: "Commands[Parser]") -> None:
    simulate = _command(
        commands, "simulate", "simulate", "replay a trace on a fleet in virtual time, under several policies"
    )
    simulate.add_argument("file", metavar="FLEET", help="YAML or JSON of the fleet, or - for stdin")
    simulate.add_argument("trace", metavar="TRACE", help="what was asked for: .csv, .csv.gz, .parquet, or http(s)://…")
    simulate.add_argument("--fleet", metavar="NAME", help="which one, where the file holds several")
    simulate.add_argument("--policies", metavar="LIST", help="planned,static-peak,hpa:70,queue:70,last-value,oracle")
    simulate.add_argument(
        "--set", action="append", default=[], metavar="PATH=VALUE", help="try another value of the fleet (repeat)"
    )
    simulate.add_argument("--seed", type=int, default=0, metavar="NUMBER", help="of what is drawn by chance; 0")
    _add_reading_of_traces(simulate)
    simulate.add_argument(
        "--escalation-rate", type=_share, default=0.0, metavar="SHARE", help="of act work that comes again as large; 0"
    )
    size = simulate.add_mutually_exclusive_group()
    size.add_argument("--load-factor", type=_rate, default=1.0, metavar="NUMBER", help="multiply requests by this")
    size.add_argument(
        "--mean-instances", type=_rate, metavar="NUMBER", help="so many requests that each tier needs this many"
    )
    simulate.add_argument(
        "--profile", action="append", default=[], metavar="TIER=NAME", help="play a tier by this engine (repeat)"
    )
    simulate.add_argument(
        "--start-up", action="append", default=[], metavar="TIER=SECONDS", help="of an instance, download included"
    )
    simulate.add_argument("--out", metavar="DIR", help="write figures, the log of every minute and pictures here")
    simulate.add_argument("--log", choices=("csv", "parquet"), default="csv", help="form of that log; csv unless given")
    simulate.add_argument("--plots", choices=("png", "svg"), default="png", help="form of pictures; png unless given")
    simulate.add_argument("--html", metavar="FILE", help="write one page with everything")
    _add_output(simulate)


def _add_reading_of_traces(command: Parser) -> None:
    command.add_argument(
        "--class", dest="classes", action="append", default=[], metavar="NAME=CLASS",
        help="a name of the trace is plan or act (repeat)",
    )  # fmt: skip
    command.add_argument(
        "--plan-share", type=_share, metavar="SHARE", help="of requests that plan, where the trace names no class"
    )
    command.add_argument("--time-zone", default="UTC", metavar="ZONE", help="of times that name none; UTC")
    command.add_argument("--from", dest="begin", metavar="WHEN", help="begin here: 2026-01-31T08:00, or 2d, 36h")
    command.add_argument("--to", dest="end", metavar="WHEN", help="end here, written likewise")
    command.add_argument("--days", type=_days, metavar="NUMBER", help="no more than this, from the begin")
    command.add_argument("--prompt-weight", type=_share, metavar="WEIGHT", help="work of a prompt token; 0.1")


def _add_recommending(commands: "Commands[Parser]") -> None:
    recommend = _command(
        commands,
        "recommend",
        "recommend",
        "say whether a mixed fleet pays for a load, and which one holds its objective",
        parents=[_cluster()],
    )
    recommendarguments.add(recommend)
    _add_reading_of_traces(recommend)
    recommend.add_argument("--load-factor", type=_rate, default=1.0, metavar="NUMBER", help="multiply requests by this")
    _add_output(recommend)
    recommend.set_defaults(parser=recommend)


def _add_costing(commands: "Commands[Parser]") -> None:
    cost = _command(
        commands,
        "cost",
        "cost",
        "say what a fleet, a trace or a load costs, against one model alone",
        parents=[_cluster()],
    )
    costarguments.add(cost)
    _add_reading_of_traces(cost)
    _add_output(cost)
    cost.set_defaults(seed=0)


def _interval(given: str) -> float:
    return _within(given, 0.5, 3600)


def _positive(given: str) -> int:
    number = _within(given, 1, 1e6)
    if number != int(number):
        raise argparse.ArgumentTypeError(f"{given} is not a whole number")
    return int(number)


def _days(given: str) -> float:
    return _within(given, 1 / 1440, 1000)


def _seconds(given: str) -> float:
    return _within(given, 0.0, float("inf"))


def _share(given: str) -> float:
    return _within(given, 0.0, 1.0)


def _rate(given: str) -> float:
    return _within(given, 1e-3, 1e6)


def _within(given: str, least: float, most: float) -> float:
    try:
        number = float(given)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{given!r} is not a number") from None
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"{given} is not between {least:g} and {most:g}")
    return number


def _add_own(commands: "Commands[Parser]") -> None:
    completion = _command(commands, "completion", "completion", "print a shell's completion script")
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))
    _command(commands, "version", "version", "print the version")


def _cluster() -> Parser:
    """Options of every command that asks a cluster, as kubectl has them."""
    options = Parser(add_help=False)
    options.add_argument("-n", "--namespace", metavar="NAME", help="the context's own unless given")
    options.add_argument("--context", metavar="NAME", help="context of the kubeconfig")
    options.add_argument("--kubeconfig", metavar="FILE", help="$KUBECONFIG or ~/.kube/config unless given")
    return options


def _add_output(command: Parser, formats: Sequence[str] = ("table", "json", "yaml")) -> None:
    command.add_argument(
        "-o", "--output", choices=formats, default=formats[0], help=f"{', '.join(formats)}; {formats[0]} unless given"
    )
