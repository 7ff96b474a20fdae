"""`heterofleet diff FILE`: what applying fleets would change, by the API server's dry run, and what would roll."""

import argparse
import sys
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cli import access, diffoutcome, difftext, findings, output, terminal, validate
from heterofleet.cli.access import Api
from heterofleet.cli.diffoutcome import Outcome, Verdict
from heterofleet.cli.errors import CliError
from heterofleet.cli.kubeconfig import Target
from heterofleet.planning import catalogue


def run(options: argparse.Namespace) -> int:
    fleets = _fleets(options.files)
    if fleets is None:
        return 1

    async def session(api: Api, target: Target) -> int:
        outcomes = [await diffoutcome.of(api, fleet, namespace(fleet, target, options)) for fleet in fleets]
        if options.output == "text":
            terminal.show(terminal.console(), Group(*_spaced(outcomes)))
        else:
            output.dump(options.output, [outcome.as_values() for outcome in outcomes])
        return exit_code(outcomes, differing=options.exit_code)

    return access.run(options, session)


def exit_code(outcomes: Sequence[Outcome], *, differing: bool) -> int:
    """1 where a fleet would be refused, and, if `differing` counts, where one would change."""
    counted = {Verdict.REFUSED, Verdict.DIFFERS, Verdict.NEW} if differing else {Verdict.REFUSED}
    return 1 if any(outcome.verdict in counted for outcome in outcomes) else 0


def _fleets(files: Sequence[str]) -> list[HeterogeneousDeployment] | None:
    """The fleets of the files; None, with the findings on stderr, where one of them is wrong.

    Raises CliError where there is none.
    """
    known = catalogue.load()
    found: list[HeterogeneousDeployment] = []
    wrong = False
    for source in validate.sources(files, sys.stdin):
        examined = findings.examine(source.text, known)
        if examined.errors:
            validate.show(source, examined, sys.stderr)
            wrong = True
        found += examined.fleets
    if wrong:
        return None
    if not found:
        raise CliError(f"{', '.join(files)}: holds no fleet")
    return found


def namespace(fleet: HeterogeneousDeployment, target: Target, options: argparse.Namespace) -> str:
    """Where the fleet lies: as the file says, else as the command line or the context do."""
    own = fleet.metadata.namespace if "namespace" in fleet.metadata.model_fields_set else ""
    if own and options.namespace and own != options.namespace:
        raise CliError(f"{fleet.metadata.name} is of namespace {own} in its file: leave --namespace out, or say {own}")
    return own or target.namespace


def _spaced(outcomes: Sequence[Outcome]) -> Iterator[RenderableType]:
    for place, outcome in enumerate(outcomes):
        if place and Verdict.DIFFERS in (outcome.verdict, outcomes[place - 1].verdict):
            yield Text()
        yield difftext.picture(outcome)
