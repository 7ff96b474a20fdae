"""`heterofleet doctor`: checks what a fleet needs of a cluster, and says what to do where something is missing."""

import argparse
from collections.abc import Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from heterofleet.cli import access, output, terminal
from heterofleet.cli.access import Api
from heterofleet.cli.checks import nodes, operator, rights, server, surroundings
from heterofleet.cli.checks.result import Check, Question, Result, Verdict
from heterofleet.cli.kubeconfig import Target
from heterofleet.cluster import errors

CHECKS: Final[tuple[Check, ...]] = (
    server.version,
    server.definitions,
    operator.running,
    rights.own,
    nodes.gpus,
    surroundings.storage,
    surroundings.dns,
    surroundings.network_policies,
    server.optional,
)
_STYLES: Final = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "red"}


def run(options: argparse.Namespace) -> int:
    async def session(api: Api, target: Target) -> int:
        results = await examine(Question(api, target.namespace))
        if options.output == "table":
            terminal.show(terminal.console(), table(results))
        else:
            output.dump(options.output, [result._asdict() | {"verdict": str(result.verdict)} for result in results])
        return 1 if any(result.verdict is Verdict.FAIL for result in results) else 0

    return access.run(options, session)


async def examine(question: Question) -> list[Result]:
    """Ask everything; a server that does not answer at all is the caller's to report."""
    results: list[Result] = []
    for check in CHECKS:
        try:
            results += await check(question)
        except errors.Unavailable:
            raise
        except errors.ClusterError as error:
            results.append(Result("Cluster", Verdict.WARN, str(error), "ask an administrator"))
    return results


def table(results: Sequence[Result]) -> RenderableType:
    """Each result with its advice below it, then one sentence for all."""
    grid = Table.grid(padding=(0, 3, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column()
    grid.add_row(*(Text(title, "bold") for title in ("", "CHECK", "FINDING")))
    for result in results:
        grid.add_row(Text(str(result.verdict), _STYLES[result.verdict]), Text(result.subject), Text(result.finding))
        if result.advice:
            grid.add_row("", "", Text(f"-> {result.advice}", "cyan"))
    return Group(grid, Text(), _summary(results))


def _summary(results: Sequence[Result]) -> Text:
    failed = sum(result.verdict is Verdict.FAIL for result in results)
    warned = sum(result.verdict is Verdict.WARN for result in results)
    if failed:
        return Text(f"Fleets cannot run here until what failed is mended ({failed}).", "red")
    if warned:
        return Text(f"Fleets can run here; {warned} warning{'s' if warned > 1 else ''} to weigh.", "yellow")
    return Text("This cluster has all that fleets need.", "green")
