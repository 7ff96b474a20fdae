"""`heterofleet explain FLEET`: why its counts are what they are, from the plan and decisions in its status."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import ValidationError
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from heterofleet.api.labels import Manifest, Tier
from heterofleet.api.planned import Bound
from heterofleet.api.scaling import Mode
from heterofleet.api.v1alpha1 import FleetSpec, HeterogeneousDeployment
from heterofleet.cli import access, ages, explainholds, explainsentences, freshness, output, terminal
from heterofleet.cli.access import Api
from heterofleet.cli.errors import CliError
from heterofleet.cli.explainsentences import Standing, Told
from heterofleet.cli.fleetview import FleetView
from heterofleet.cli.kubeconfig import Target

_LABELS: Final = len("7m30s ago")
"""Columns for what stands before each sentence, so that all of them begin at one place."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything there is to say; `silence` says why no decision was made yet, "" where one was."""

    view: FleetView
    spec: FleetSpec | None
    plan: str
    standings: tuple[Standing, ...]
    holds: tuple[str, ...]
    decisions: tuple[Told, ...]
    silence: str


def run(options: argparse.Namespace) -> int:
    async def session(api: Api, target: Target) -> int:
        now = datetime.now(UTC)
        explained = explanation(await access.fleet(api, target.namespace, options.fleet), options.last, now)
        if options.output != "text":
            output.dump(options.output, as_values(explained))
            return 0
        warning = freshness.sentence(await freshness.operator(api), now)
        below = [Text(), Text(warning, "yellow")] if warning else []
        terminal.show(terminal.console(), Group(picture(explained, now), *below))
        return 0

    return access.run(options, session)


def explanation(fleet: Manifest, last: int, now: datetime) -> Explanation:
    """Explain one fleet and its newest `last` decisions. Raises CliError where its status cannot be read."""
    view, spec = FleetView.of(fleet), _spec(fleet)
    if "status" in view.unknown:
        raise CliError(
            f"the status of {view.key.name} is another version's, which this command cannot read: "
            "take the command of the operator's version (`heterofleet doctor` names both)"
        )
    advisory = spec is not None and spec.mode is Mode.ADVISORY
    plan = view.status.plan
    planned = () if plan is None else ((Tier.LARGE, plan.large), (Tier.SMALL, plan.small))
    named = [str(made.get("bound", "")) for made in (fleet.get("status") or {}).get("decisions") or ()]
    unknown = ["" if name in set(Bound) else name for name in named]
    return Explanation(
        view=view,
        spec=spec,
        plan=_plan(view, advisory=advisory),
        standings=tuple(explainsentences.standing(tier, one, spec, advisory=advisory) for tier, one in planned),
        holds=tuple(explainholds.holds(view, spec, now)),
        decisions=tuple(
            explainsentences.decision(made, spec, bound)
            for made, bound in list(zip(view.status.decisions, unknown, strict=True))[:last]
        ),
        silence=_silence(view) if not view.status.decisions else "",
    )


def _spec(fleet: Manifest) -> FleetSpec | None:
    """The spec, where this version can read it: prices and bounds are told from it, and sentences do without."""
    try:
        return HeterogeneousDeployment.parse({key: value for key, value in fleet.items() if key != "status"}).spec
    except ValidationError:
        return None


def _plan(view: FleetView, *, advisory: bool) -> str:
    plan = view.status.plan
    if plan is None:
        return ""
    cost = f" for {plan.usd_per_hour} USD an hour" if plan.usd_per_hour else ""
    saved = view.status.cost.savings_ratio
    beside = (
        f", {abs(float(saved)):.0%} {'less' if float(saved) >= 0 else 'more'} than large ones alone" if saved else ""
    )
    would = "would be planned" if advisory else "are planned"
    return f"{plan.large.instances} large and {plan.small.instances} small instances {would}{cost}{beside}."


def _silence(view: FleetView) -> str:
    if view.status.plan is None:
        return "No plan has been made yet: the operator makes one within a minute of seeing the fleet."
    return "No decision yet: every plan came to the count that was in force."


def picture(explained: Explanation, now: datetime) -> RenderableType:
    """The explanation as a person reads it."""
    key = explained.view.key
    mode = f"  mode {explained.spec.mode}" if explained.spec is not None else ""
    parts: list[RenderableType] = [Text.assemble((key.name, "bold"), (f" in {key.namespace}{mode}", "dim"))]
    parts += [Text(explained.plan)] if explained.plan else []
    if explained.spec is None:
        parts.append(Text("Its spec is another version's: prices and bounds are left out.", "yellow"))
    if explained.standings or explained.holds:
        parts += [Text(), _now(explained)]
    for told in explained.decisions:
        parts += [Text(), _decision(told, now)]
    parts += [Text(), Text(explained.silence)] if explained.silence else []
    return Group(*parts)


def _now(explained: Explanation) -> RenderableType:
    rows = [(str(one.tier), _standing(one)) for one in explained.standings]
    held = [("" if place else "held", Text(said, "yellow")) for place, said in enumerate(explained.holds)]
    return _labelled([*rows, *held])


def _standing(one: Standing) -> Text:
    ends = f" It goes on {one.ends}." if one.ends else ""
    said = f" {_sentence(one.because)}{ends}{_if(one.lifted)}"
    return Text.assemble((f"{one.count}. ", "bold"), (f"{one.planned.bound}:", "cyan"), said)


def _decision(told: Told, now: datetime) -> RenderableType:
    made = told.decision
    head = (f"{ages.since(made.at, now)} ago", Text(_sentence(told.done), "bold"))
    because = Text.assemble((f"{told.bound}:", "cyan"), f" {_sentence(told.because)}")
    rows = [head, ("seen", Text(_sentence(told.seen))), ("bound", because)]
    rows += [("if", Text(_sentence(told.lifted)))] if told.lifted else []
    return _labelled(rows)


def _labelled(rows: Sequence[tuple[str, Text]]) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, min_width=_LABELS)
    grid.add_column(ratio=1)
    for label, text in rows:
        grid.add_row(Text(label, "dim"), text)
    return grid


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:].removesuffix('.')}."


def _if(lifted: str) -> str:
    return f" {_sentence(lifted)}" if lifted else ""


def as_values(explained: Explanation) -> Mapping[str, Any]:
    """The same for programs: the status's own fields, and each sentence under the name that the text gives it."""
    key = explained.view.key
    return {
        "namespace": key.namespace,
        "fleet": key.name,
        "plan": explained.plan,
        "tiers": [
            {"tier": str(one.tier), **one.planned.to_kubernetes(), **_words(one.because, one.lifted), "ends": one.ends}
            for one in explained.standings
        ],
        "held": list(explained.holds),
        "decisions": [dict(_values(told)) for told in explained.decisions],
    }


def _values(told: Told) -> Iterator[tuple[str, Any]]:
    yield from {**told.decision.to_kubernetes(), "bound": told.bound}.items()
    yield "done", _sentence(told.done)
    yield "seen", _sentence(told.seen)
    yield from _words(told.because, told.lifted).items()


def _words(because: str, lifted: str) -> dict[str, str]:
    return {"because": _sentence(because), "ifLifted": _if(lifted).strip()}
