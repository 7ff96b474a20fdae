"""What the models say of a body, in the words and places of the API server: the offline half of each comparison."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from cases.reading import Body
from heterofleet.api import base, labels, v1alpha1

KINDS: dict[str, type[v1alpha1.HeterogeneousDeployment | v1alpha1.HeterogeneousTier]] = {
    labels.FLEET_KIND: v1alpha1.HeterogeneousDeployment,
    labels.TIER_KIND: v1alpha1.HeterogeneousTier,
}


class Complaint(NamedTuple):
    """One thing that is wrong with a body; `at` is a path as the API server writes it."""

    at: str
    says: str


def complaints(body: Body, was: Body | None = None) -> list[Complaint]:
    """Everything that the models refuse in a body, or in its update of `was`; empty where they take it."""
    kind = KINDS[body["kind"]]
    try:
        new = kind.parse(body)
    except ValidationError as error:
        return [Complaint(_path(detail["loc"]), detail["msg"]) for detail in error.errors()]
    return [] if was is None else list(_broken_transitions(new, kind.parse(was), ()))


def models(root: type[BaseModel]) -> Iterator[type[base.Model]]:
    """Every model that a body of this kind is made of, each once."""
    seen: dict[type[base.Model], None] = {}
    waiting: list[Any] = [root]
    while waiting:
        annotation = waiting.pop()
        if isinstance(annotation, type) and issubclass(annotation, base.Model) and annotation not in seen:
            seen[annotation] = None
            waiting.extend(known.annotation for known in annotation.model_fields.values())
        waiting.extend(getattr(annotation, "__args__", ()))
    yield from seen


def _path(location: tuple[int | str, ...]) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in location if step != "[key]")
    return "".join(steps).removeprefix(".")


def _broken_transitions(new: base.Model, old: base.Model, at: tuple[str, ...]) -> Iterator[Complaint]:
    for transition in type(new).TRANSITIONS:
        if not transition.holds(new, old):
            yield Complaint(_path(at), transition.message)
    for name, known in type(new).model_fields.items():
        before, after = getattr(old, name), getattr(new, name)
        if isinstance(after, base.Model) and isinstance(before, base.Model):
            yield from _broken_transitions(after, before, (*at, known.alias or name))
