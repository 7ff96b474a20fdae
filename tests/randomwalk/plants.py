"""Four bugs that the walk must find: copies of the operator's sources, each with one guard taken out.

A plant is a list of replacements in the text of the sources; one that does not apply any more is an error, so a
plant cannot silently become the healthy operator.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from randomwalk.actions import Kind
from randomwalk.operators import SOURCES
from randomwalk.rules import Rule


@dataclass(frozen=True)
class Plant:
    """A bug: (file, text, replacement) each, the rule that must break, and what a walk that finds it does often."""

    name: str
    breaks: Rule
    edits: tuple[tuple[str, str, str], ...]
    often: tuple[Kind, ...] = ()


PLANTS = (
    Plant(
        "apply-order",
        Rule.ORDER,
        (("cluster/objects.py", 'key=lambda item: rank(item["kind"]', 'key=lambda item: -rank(item["kind"]'),),
    ),
    Plant(
        "prune-guard",
        Rule.PRUNES,
        (("cluster/apply.py", "if outcome.failed or outcome.taken:", "if outcome.taken:"),),
        (Kind.QUOTA, Kind.EDIT),
    ),
    Plant(
        "ownership",
        Rule.FOREIGN,
        (
            ("cluster/objects.py", "if held.owner_uid != owner_uid:", "if not held.uid:"),
            ("cluster/objects.py", "if child.owner_uid == owner_uid and ref not in", "if ref not in"),
            ("cluster/apply.py", 'objects.controller_uid(answer["metadata"]) != owner_uid', "not owner_uid"),
        ),
        (Kind.LEAVE,),
    ),
    Plant(
        "leader",
        Rule.LEADER,
        (
            ("control/main.py", "        await self._election.leading.wait()\n", ""),
            ("control/leader.py", "return max(0.0, self._write_until - self._clock())", "return 3600.0"),
        ),
        (Kind.START_OPERATOR, Kind.EDIT),
    ),
)


def sow(plant: Plant, folder: Path) -> Path:
    """The sources with a bug in them, below `folder`; gives what PYTHONPATH should name."""
    target = folder / plant.name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(SOURCES, target, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text, replacement in plant.edits:
        path = target / "heterofleet" / name
        source = path.read_text()
        if source.count(text) != 1:
            raise ValueError(
                f"plant {plant.name} does not apply to {name}: {text!r} is there {source.count(text)} times"
            )
        path.write_text(source.replace(text, replacement))
    return target
