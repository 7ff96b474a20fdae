"""`heterofleet cost`: what a fleet, a trace or a load in words costs, against large and small models alone."""

import argparse
from math import isfinite
from pathlib import Path
from typing import Final, NamedTuple

from heterofleet.cli import costassumed, costsheet, costtable, output, terminal
from heterofleet.cli.costfleet import LastHour
from heterofleet.cli.costsheet import ALL_LARGE, MIXED, Inputs, Sheet
from heterofleet.cli.errors import CliError, UsageError
from heterofleet.planning import catalogue, ownership
from heterofleet.planning.ownership import Ownership
from heterofleet.planning.planact import Rates
from heterofleet.planning.value import Value

STEPS: Final = 10.0
RELATIVE_COST: Final = 8.5
"""The source's 70B model beside its 4B one."""
STEP_TOKENS: Final = 1000.0
_INPUTS: Final = (
    "steps", "relative_cost", "large", "small", "retry_rate", "review_rate", "usd_per_review",
    "step_tokens", "usd_per_million_tokens", "million_tokens_per_day",
)  # fmt: skip
_PICTURES: Final = (".png", ".svg")


class _Found(NamedTuple):
    sheet: Sheet | None = None
    inputs: Inputs | None = None
    hour: LastHour | None = None


def run(options: argparse.Namespace) -> int:
    _refuse_mixtures(options)
    found = _found(options)
    owned = _ownership(options, found)
    worth = costassumed.value_of(options.value) if options.value is not None else None
    if options.plot is not None:
        _draw(options.plot, found, owned)
    if options.output != "table":
        output.dump(options.output, costtable.document(found.sheet, found.hour, owned, worth))
        return 0
    _show(options, found, owned, worth)
    return 0


def _refuse_mixtures(options: argparse.Namespace) -> None:
    """What is said once must not be said otherwise beside it."""
    said = [name for name in _INPUTS if getattr(options, name) is not None]
    if options.fleet is not None and options.file is not None:
        raise UsageError("name a FLEET of the cluster, or a --file and its --trace, not both")
    if (options.file is None) != (options.trace is None):
        raise UsageError("--file and --trace belong together: the fleet of the one is played on the other")
    if (options.fleet is not None or options.file is not None) and said:
        raise UsageError(f"--{said[0].replace('_', '-')} describes a load without a fleet: leave it out, or the fleet")
    if options.fleet is not None and options.escalation_rate is not None:
        raise UsageError("--escalation-rate is measured where a FLEET runs: leave it out")
    if options.prometheus is not None and options.fleet is None:
        raise UsageError("--prometheus is asked about a FLEET of the cluster: name one")
    if options.plot is not None and Path(options.plot).suffix not in _PICTURES:
        raise UsageError(f"--plot {options.plot}: pictures are .png or .svg")


def _found(options: argparse.Namespace) -> _Found:
    if options.fleet is not None:
        from heterofleet.cli import costfleet  # noqa: PLC0415  the cluster's client takes its time

        running = costfleet.read(options)
        return _Found(running.sheet, hour=running.hour)
    if options.file is not None:
        from heterofleet.cli import costtrace  # noqa: PLC0415  numpy takes its time

        return _Found(costtrace.read(options))
    only_more = options.tco is not None or options.value is not None
    if only_more and options.escalation_rate is None and all(getattr(options, name) is None for name in _INPUTS):
        return _Found()
    inputs = _inputs(options)
    try:
        return _Found(costsheet.of_inputs(inputs), inputs)
    except ValueError as exc:
        raise UsageError(str(exc)) from exc


def _inputs(options: argparse.Namespace) -> Inputs:
    for name in ("usd_per_million_tokens", "million_tokens_per_day", "usd_per_review", "step_tokens"):
        value = getattr(options, name)
        if value is not None and not (isfinite(value) and value > 0):
            raise UsageError(f"--{name.replace('_', '-')} {value:g}: give a number above 0")
    price, a_day = options.usd_per_million_tokens, options.million_tokens_per_day
    if a_day is not None and price is None:
        raise UsageError("--million-tokens-per-day needs --usd-per-million-tokens: what the small model's cost")
    return Inputs(
        steps=STEPS if options.steps is None else options.steps,
        relative_cost=_relative_cost(options),
        rates=Rates(
            escalation=options.escalation_rate or 0.0,
            retry=options.retry_rate or 0.0,
            review=options.review_rate or 0.0,
            review_steps=_review_steps(options),
        ),
        usd_per_million=price,
        million_tokens_a_day=a_day,
    )


def _review_steps(options: argparse.Namespace) -> float:
    """What a review costs in steps: USD of one over USD of the other."""
    if options.usd_per_review is None:
        if options.review_rate:
            raise UsageError("--review-rate needs --usd-per-review: a person who looks at a step costs something")
        return 0.0
    if options.usd_per_million_tokens is None:
        raise UsageError("--usd-per-review needs --usd-per-million-tokens, to be held against what a step costs")
    tokens: float = options.step_tokens or STEP_TOKENS
    steps: float = options.usd_per_review / (options.usd_per_million_tokens * tokens / 1e6)
    return steps


def _relative_cost(options: argparse.Namespace) -> float:
    if options.large is None and options.small is None:
        return RELATIVE_COST if options.relative_cost is None else float(options.relative_cost)
    if options.relative_cost is not None:
        raise UsageError("--relative-cost says what --large and --small would lead to: give one or the other")
    if options.large is None or options.small is None:
        raise UsageError("--large and --small belong together: the cost of one is in terms of the other")
    return _token_cost(options.large) / _token_cost(options.small)


def _token_cost(name: str) -> float:
    known = catalogue.load()
    facts = known.model(name if "://" in name else f"hf://{name}")
    if facts is None or facts.parameters is None:
        raise UsageError(f"{name} is not in the catalogue: write ORG/NAME as its hub does, or give --relative-cost")
    return known.size_prior(facts.parameters).relative_token_cost


def _ownership(options: argparse.Namespace, found: _Found) -> Ownership | None:
    if options.tco is None:
        return None
    asked_a_fleet = found.sheet is not None and found.inputs is None
    rows = {row.system: row for row in found.sheet.rows} if found.sheet is not None and asked_a_fleet else {}
    if options.tco:
        gpus = {name: row.gpus for name, row in rows.items()}
        return costassumed.ownership_of(options.tco, gpus.get(ALL_LARGE), gpus.get(MIXED))
    if found.sheet is None or not asked_a_fleet:
        return costassumed.source()
    large, mixed = rows[ALL_LARGE].usd_per_day, rows[MIXED].usd_per_day
    if found.sheet.saving is None or large is None or mixed is None:
        raise CliError(
            "--tco compares with large models alone, whose money is not known here: look without it, or give a FILE"
        )
    return ownership.rented(large, mixed, ownership.SOURCE_YEARS)


def _draw(file: str, found: _Found, owned: Ownership | None) -> None:
    if found.sheet is None and owned is None:
        raise UsageError("--plot draws a load, a fleet, or --tco: give one of them beside --value")
    try:
        from heterofleet.cli import costplot  # noqa: PLC0415  matplotlib takes its time
        from heterofleet.simulate import plots  # noqa: PLC0415

        figure = costplot.figure(found.sheet, found.inputs, owned)
        picture = plots.svg(figure).encode() if file.endswith(".svg") else plots.png(figure)
    except ImportError as exc:
        raise CliError(f"{exc.name} is not installed: pip install 'heterofleet[cli,simulate,plots]'") from exc
    try:
        Path(file).write_bytes(picture)
    except OSError as exc:
        raise CliError(f"{file}: {(exc.strerror or str(exc)).lower()}") from exc


def _show(options: argparse.Namespace, found: _Found, owned: Ownership | None, worth: Value | None) -> None:
    screen = terminal.console()
    parts = [
        *([costtable.sheet(found.sheet)] if found.sheet is not None else []),
        *([costtable.hour(found.hour)] if found.hour is not None else []),
        *([costtable.ownership(owned, of_source=owned == costassumed.source())] if owned is not None else []),
        *([costtable.value(worth)] if worth is not None else []),
    ]
    for place, part in enumerate(parts):
        if place:
            print()
        terminal.show(screen, part)
