"""Reads the cases beside this module: bodies, and what must come of them."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Body = dict[str, Any]

SMALLEST: Mapping[str, Body] = {
    "HeterogeneousDeployment": {
        "apiVersion": "heterofleet.io/v1alpha1",
        "kind": "HeterogeneousDeployment",
        "metadata": {"name": "chat"},
        "spec": {
            "large": {"model": {"source": "hf://Qwen/Qwen3-235B-A22B-Instruct-2507-FP8"}},
            "small": {"model": {"source": "hf://Qwen/Qwen3-4B-Instruct-2507"}},
        },
    },
    "HeterogeneousTier": {
        "apiVersion": "heterofleet.io/v1alpha1",
        "kind": "HeterogeneousTier",
        "metadata": {"name": "chat-large"},
        "spec": {"tier": "large", "instances": 1},
    },
}


@dataclass(frozen=True)
class Refusal:
    """Where a body is refused, and a piece of the sentence when the rule is ours."""

    at: str
    says: str = ""


@dataclass(frozen=True)
class Case:
    """One body, the object that it updates if it is an update, and what must come of it."""

    name: str
    body: Body
    was: Body | None = None
    refused: Refusal | None = None
    becomes: Mapping[str, Any] = field(default_factory=dict)


def cases() -> Iterator[Case]:
    """Every case of this folder, named after its file and its own sentence."""
    for path in sorted(Path(__file__).parent.glob("*.yaml")):
        for written in yaml.safe_load(path.read_text("utf-8")):
            yield _case(path.stem, **written)


def _case(
    topic: str,
    *,
    case: str,
    set: Mapping[str, Any],
    kind: str = "HeterogeneousDeployment",
    was: Mapping[str, Any] | None = None,
    refused: Mapping[str, str] | None = None,
    becomes: Mapping[str, Any] | None = None,
) -> Case:
    return Case(
        name=f"{topic}: {case}",
        body=with_values(SMALLEST[kind], set),
        was=None if was is None else with_values(SMALLEST[kind], was),
        refused=None if refused is None else Refusal(**refused),
        becomes=becomes or {},
    )


def with_values(body: Mapping[str, Any], values: Mapping[str, Any]) -> Body:
    """A copy of `body` with values at dotted paths; None removes a field."""
    changed: Body = copy.deepcopy(dict(body))
    for path, value in values.items():
        *above, last = path.split(".")
        place = changed
        for step in above:
            place = place.setdefault(step, {})
        if value is None:
            del place[last]
        else:
            place[last] = copy.deepcopy(value)
    return changed


def value_at(body: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path; KeyError where there is none."""
    value: Any = body
    for step in path.split("."):
        value = value[step]
    return value
