"""`heterofleet simulate`: a fleet and a trace in, the worth of policies out.

The edge of `simulate`: reads files, shows progress, writes results. Its packages are loaded when it runs.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heterofleet.api.labels import FleetKey, Tier
from heterofleet.api.routing import RequestClass
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cli import fields, output, simulatefleet, simulateprogress
from heterofleet.cli.errors import CliError, UsageError
from heterofleet.planning import catalogue

if TYPE_CHECKING:
    from heterofleet.simulate.policies import Choice
    from heterofleet.simulate.report import Figures
    from heterofleet.simulate.study import Case, Outcome
    from heterofleet.simulate.tierengine import TierEngine
    from heterofleet.simulate.trace import Trace


def run(options: argparse.Namespace) -> int:
    try:
        from heterofleet.simulate import policies, report, study  # noqa: PLC0415  numpy takes its time
    except ImportError as exc:
        raise CliError(f"{exc.name} is not installed: pip install 'heterofleet[cli,simulate]'") from exc
    if options.seed < 0:
        raise UsageError("--seed must be 0 or more")
    try:
        chosen = policies.DEFAULT if options.policies is None else policies.chosen(options.policies)
    except policies.UnknownPolicy as exc:
        raise UsageError(f"--policies: {exc}") from exc
    _refuse_undrawable(options)
    fleet = simulatefleet.read(options.file, options.fleet, options.set)
    engines, replayed = _engines(options, fleet), trace(options, fleet.key)
    with simulateprogress.shown(sys.stderr) as progress:
        case = study.prepare(fleet.spec, replayed, engines, _wanted(options), progress.stage("engines"))
        outcomes = [study.play(case, choice, progress.stage(str(choice))) for choice in chosen]
        found = report.figures(case, outcomes)
        _write(options, fleet, case, outcomes, found, progress)
    _show(options, case, found)
    _warn(fleet, chosen, case)
    return 0


def trace(options: argparse.Namespace, fleet: FleetKey) -> "Trace":
    """The part of a trace that the options name; `fleet` is whose load a Prometheus is asked for."""
    from heterofleet.simulate import tracefile, tracemetrics, tracesource  # noqa: PLC0415  as in `run`
    from heterofleet.simulate.trace import InvalidTrace  # noqa: PLC0415
    from heterofleet.simulate.tracerows import Reading  # noqa: PLC0415

    reading = Reading(dict(map(_class, options.classes)), options.plan_share, options.time_zone, options.seed)
    part = tracesource.Part(options.begin, options.end, options.days)
    try:
        return tracesource.read(tracesource.Source(options.trace, reading, part), fleet, datetime.now(UTC))
    except InvalidTrace as exc:
        raise UsageError(f"{options.trace}: {exc}") from exc
    except (tracefile.MissingReader, tracemetrics.NoAnswer) as exc:
        raise CliError(str(exc)) from exc
    except OSError as exc:
        raise UsageError(f"{options.trace}: {(exc.strerror or str(exc)).lower()}") from exc


def _class(written: str) -> tuple[str, RequestClass]:
    name, _, said = written.rpartition("=")
    if not name or said not in tuple(RequestClass):
        guess = fields.did_you_mean(said, list(RequestClass)) if name else ""
        raise UsageError(f"--class {written}: write a name of the trace and plan or act, such as big=plan{guess}")
    return name, RequestClass(said)


def _engines(options: argparse.Namespace, fleet: HeterogeneousDeployment) -> "dict[Tier, TierEngine]":
    from heterofleet.simulate import tierengine  # noqa: PLC0415  as in `run`

    named = dict(_of_tier("--profile", written) for written in options.profile)
    starts = {
        tier: _start_seconds(value) for tier, value in (_of_tier("--start-up", each) for each in options.start_up)
    }
    try:
        return {
            tier: tierengine.of(tier, fleet.spec.tier(tier), catalogue.load(), named.get(tier), starts.get(tier))
            for tier in Tier
        }
    except tierengine.UnknownEngine as exc:
        raise UsageError(str(exc)) from exc


def _of_tier(option: str, written: str) -> tuple[Tier, str]:
    tier, _, value = written.partition("=")
    if tier not in tuple(Tier) or not value:
        raise UsageError(f"{option} {written}: write large=… or small=…")
    return Tier(tier), value


def _start_seconds(written: str) -> float:
    try:
        seconds = float(written)
    except ValueError as exc:
        raise UsageError(f"--start-up {written}: write seconds, such as large=300") from exc
    if not 0 <= seconds <= 86_400:
        raise UsageError(f"--start-up {written}: an instance starts within 0 to 86400 seconds")
    return seconds


def _wanted(options: argparse.Namespace) -> Any:
    from heterofleet.simulate.study import Wanted  # noqa: PLC0415  as in `run`

    default = Wanted()
    return Wanted(
        prompt_weight=default.prompt_weight if options.prompt_weight is None else options.prompt_weight,
        mean_instances=options.mean_instances,
        load_factor=options.load_factor,
        escalation_rate=options.escalation_rate,
        seed=options.seed,
    )


def _refuse_undrawable(options: argparse.Namespace) -> None:
    """Say before the work that its results could not be written."""
    if options.out is None and options.html is None:
        return
    try:
        import matplotlib  # noqa: F401, PLC0415  only whether it is there
    except ImportError as exc:
        raise CliError(f"{exc.name} is not installed: pip install 'heterofleet[cli,simulate,plots]'") from exc
    if options.log == "parquet":
        try:
            import pyarrow  # noqa: F401, PLC0415  only whether it is there
        except ImportError as exc:
            raise CliError(f"{exc.name} is not installed: pip install 'heterofleet[parquet]'") from exc


def _write(
    options: argparse.Namespace,
    fleet: HeterogeneousDeployment,
    case: "Case",
    outcomes: "Sequence[Outcome]",
    found: "Sequence[Figures]",
    progress: simulateprogress.Stages,
) -> None:
    if options.out is None and options.html is None:
        return
    from heterofleet.cli import simulatefiles  # noqa: PLC0415  as in `run`
    from heterofleet.simulate.page import Heading  # noqa: PLC0415

    told = progress.stage("report")
    heading = Heading(fleet.metadata.name, Path(options.trace).name, _command(options))
    try:
        if options.out is not None:
            simulatefiles.write_folder(Path(options.out), case, outcomes, found, log=options.log, plots=options.plots)
            told(0.6)
        if options.html is not None:
            simulatefiles.write_page(Path(options.html), heading, case, outcomes, found)
    except OSError as exc:
        raise CliError(f"{exc.filename or options.out or options.html}: {(exc.strerror or str(exc)).lower()}") from exc
    told(1.0)


def _command(options: argparse.Namespace) -> str:
    """What to type for the same run; folders are left out, since those of a reader are others."""
    words = ["heterofleet", "simulate", Path(options.file).name, Path(options.trace).name]
    given = {
        "--fleet": options.fleet, "--policies": options.policies, "--set": options.set, "--class": options.classes,
        "--plan-share": options.plan_share, "--from": options.begin, "--to": options.end, "--days": options.days,
        "--prompt-weight": options.prompt_weight, "--mean-instances": options.mean_instances,
        "--load-factor": options.load_factor if options.load_factor != 1 else None, "--profile": options.profile,
        "--start-up": options.start_up, "--time-zone": options.time_zone if options.time_zone != "UTC" else None,
        "--escalation-rate": options.escalation_rate or None, "--seed": options.seed or None,
    }  # fmt: skip
    for flag, value in given.items():
        for each in value if isinstance(value, list) else [value]:
            if each is not None:
                words += [flag, f"{each:g}" if isinstance(each, float) else str(each)]
    return shlex.join(words)


def _show(options: argparse.Namespace, case: "Case", found: "Sequence[Figures]") -> None:
    from heterofleet.simulate import figurestable, report  # noqa: PLC0415  as in `run`

    if options.output != "table":
        output.dump(options.output, report.document(case, found))
        return
    from heterofleet.cli import columns, terminal  # noqa: PLC0415  no need of them for JSON

    screen = terminal.console()
    for rows in (figurestable.tiers(case), figurestable.policies(found), figurestable.latencies(found)):
        cells = list(zip(*rows.cells, strict=True))
        table = [
            columns.of(title, *cells[place], right=place > 0 and title not in ("CLASS", "ENGINE", "CARRIES"))
            for place, title in enumerate(rows.titles)
        ]
        terminal.show(screen, columns.table(table))
        print()
    sys.stdout.flush()


def _warn(fleet: HeterogeneousDeployment, chosen: "Sequence[Choice]", case: "Case") -> None:
    """What the reader of the figures should know, on stderr."""
    for remark in case.trace.remarks:
        print(f"heterofleet: note: {remark}", file=sys.stderr)
    for tier in Tier:
        instances, capacity = fleet.spec.tier(tier).instances, case.capacities[tier]
        if instances.min == instances.most and any(choice.bounded for choice in chosen):
            print(
                f"heterofleet: note: {tier}.instances lets its count be nothing but {instances.min}:"
                f" try --set {tier}.instances.max={max(instances.min + 1, 2 * instances.min)}",
                file=sys.stderr,
            )
        if not capacity.within_objective:
            print(
                f"heterofleet: note: not even an idle instance of the {tier} tier meets its objective; it is planned"
                f" at what it carries at best: raise {tier}.objective or choose another engine",
                file=sys.stderr,
            )
