"""The differences of one fleet as a person reads them: a line a field, as git marks them, and what rolls. Pure."""

import json
from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from heterofleet.cli import difffields
from heterofleet.cli.difffields import Field, Roll
from heterofleet.cli.diffoutcome import Outcome, Verdict
from heterofleet.desired.revision import Role

_NAMES = {Role.LARGE: "large tier", Role.SMALL: "small tier", Role.ROUTER: "routers"}


def picture(outcome: Outcome) -> RenderableType:
    """One fleet."""
    head = Text.assemble((outcome.name, "bold"), (f" in {outcome.namespace}: ", "dim"))
    match outcome.verdict:
        case Verdict.SAME:
            return head + Text("nothing would change.", "dim")
        case Verdict.NEW:
            return head + Text("does not exist there, and would be created.", "green")
        case Verdict.REFUSED:
            return head + Text(f"would be refused: {outcome.message}", "red")
        case Verdict.DIFFERS:
            count = len(outcome.fields)
            lines = [head + Text(f"{count} field{'' if count == 1 else 's'} would change.")]
            return Group(*lines, *(_field(one) for one in outcome.fields), *_rolls(outcome.rolls))


def _field(one: Field) -> Text:
    rolls = f"   rolls the {' and the '.join(_NAMES[role] for role in one.rolls)}" if one.rolls else ""
    path = difffields.dotted(one.path)
    if one.before is None:
        changed = Text(f"+ {path}: {_value(one.after)}", "green")
    elif one.after is None:
        changed = Text(f"- {path}: {_value(one.before)}", "red")
    else:
        changed = Text.assemble(
            (f"~ {path}: ", "yellow"), (_value(one.before), "red"), (" -> ", "dim"), (_value(one.after), "green")
        )
    return changed + Text(rolls, "cyan")


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _rolls(rolls: tuple[Roll, ...] | None) -> Iterator[Text]:
    if rolls is None:
        yield Text("What rolls cannot be told: this version of the command cannot read the whole spec.", "yellow")
    elif not rolls:
        yield Text("Nothing rolls: no running pod is replaced.", "green")
    else:
        for roll in rolls:
            how = "one instance after the other, each drained first" if roll.role is not Role.ROUTER else "one by one"
            plural = "roll" if roll.role is Role.ROUTER else "rolls"
            yield Text(f"The {_NAMES[roll.role]} {plural}, {how} ({roll.before} -> {roll.after}).", "cyan")
