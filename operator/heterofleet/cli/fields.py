"""Finds fields of the resource by their place, and the field that somebody meant who wrote another.

Walks the models themselves, so that a new field is known here as soon as it is declared.
"""

import difflib
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cli.yamltext import Path

_OTHER_NAMES: Final[Mapping[str, str]] = {
    "replicas": "instances",
    "count": "instances",
    "gpus": "parallelism",
    "tensorParallelSize": "parallelism.tensor",
    "pipelineParallelSize": "parallelism.pipeline",
    "dataParallelSize": "parallelism.data",
    "tp": "parallelism.tensor",
    "pp": "parallelism.pipeline",
    "dp": "parallelism.data",
    "ep": "parallelism.expertParallel",
    "args": "engine.extraArgs",
    "modelName": "model.source",
    "repo": "model.source",
    "uri": "model.source",
}
"""What people of other systems write for our fields."""


def advice(path: Path) -> str:
    """Say what to write instead of the unknown field at `path`."""
    name, parent = str(path[-1]), model(path[:-1])
    if parent is None:
        return "unknown field"
    if name in _OTHER_NAMES and _has(parent, _OTHER_NAMES[name]):
        return f"unknown field: write {_OTHER_NAMES[name]}"
    slip = did_you_mean(name, list(_aliases(parent)), likeness=0.8)
    if slip:
        return f"unknown field{slip}"
    elsewhere = [place for place in _places(HeterogeneousDeployment) if _folded(place[-1]) == _folded(name)]
    if elsewhere:
        nearest = max(elsewhere, key=lambda place: _common(place, path))
        return f"unknown field here: it stands in {'.'.join(nearest[:-1])}"
    guess = did_you_mean(name, list(_aliases(parent)))
    return f"unknown field{guess}" if guess else f"unknown field; here are {', '.join(sorted(_aliases(parent)))}"


def did_you_mean(name: str, names: list[str], likeness: float = 0.6) -> str:
    """`; did you mean X?`, or nothing where no name is near."""
    known = {_folded(candidate): candidate for candidate in names}
    close = difflib.get_close_matches(_folded(name), list(known), n=1, cutoff=likeness)
    return f"; did you mean {known[close[0]]}?" if close else ""


def _folded(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _common(one: Path, other: Path) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _has(model: type[BaseModel], dotted: str) -> bool:
    head, _, rest = dotted.partition(".")
    found = _aliases(model).get(head)
    inner = _inner_model(found.annotation) if found else None
    return found is not None and (not rest or (inner is not None and _has(inner, rest)))


def _aliases(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {known.alias or name: known for name, known in model.model_fields.items()}


def _places(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, known in _aliases(model).items():
        if name != "status":
            yield (*above, name)
            inner = _inner_model(known.annotation)
            if inner is not None:
                yield from _places(inner, (*above, name))


def field(path: Path) -> FieldInfo | None:
    """The declaration of the field at `path`."""
    parent = model(path[:-1])
    return _aliases(parent).get(str(path[-1])) if parent is not None and path else None


def model(path: Path) -> type[BaseModel] | None:
    """The model of the mapping at `path`; None where there is no such field, or where it takes any keys."""
    reached: type[BaseModel] | None = HeterogeneousDeployment
    for step in path:
        if reached is not None and not isinstance(step, int):
            found = _aliases(reached).get(step)
            reached = _inner_model(found.annotation) if found else None
    return reached


def is_overlay(path: Path) -> bool:
    """Whether what stands at `path` is a piece of another object, whose fields are not ours to know."""
    found = field(path)
    return found is not None and _holds_anything(found.annotation)


def _holds_anything(annotation: Any) -> bool:
    return annotation is Any or any(_holds_anything(argument) for argument in typing.get_args(annotation))


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_inner_model(argument) for argument in typing.get_args(annotation))
    return next((model for model in inner if model is not None), None)
