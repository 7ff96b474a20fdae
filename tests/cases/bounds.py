"""Makes bodies at and beyond every bound that the schema sets, so that no bound goes without a case.

The bounds are read from the generated schema of the CRD, the values are then judged by the models and by the API
server: a bound that only one of the two knows shows as a disagreement.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from heterofleet.api import crd, v1alpha1

Schema = Mapping[str, Any]

WRONG_TYPES: Mapping[str, tuple[Any, ...]] = {
    "integer": ("1", 1.5, True, [1], {"a": 1}),
    "number": ("1", True, [1]),
    "boolean": ("true", 1, []),
    "string": (1, True, ["a"], {"a": "b"}),
    "array": ("a", 1, {"a": "b"}),
    "object": ("a", 1, ["a"]),
    "any": (),
    "quantity": (True, 0.5, ["1"], {"a": 1}),
}


class Trial(NamedTuple):
    """A value for one field; `why` names the bound that it probes. Beyond a bound it must be refused."""

    path: str
    why: str
    value: Any
    beyond: bool


def trials() -> Iterator[Trial]:
    """Every trial of a fleet's spec, field by field."""
    spec = crd.structural_schema(v1alpha1.FleetSpec)
    yield from _children(spec, "spec")


def _children(schema: Schema, path: str) -> Iterator[Trial]:
    for name, child in schema.get("properties", {}).items():
        yield from _field(child, f"{path}.{name}")
        yield from _children(child, f"{path}.{name}")
        yield from _inner(child, f"{path}.{name}")


def _inner(schema: Schema, path: str) -> Iterator[Trial]:
    """What stands in a list or a map is tried alone in one, under the path of the whole."""
    if "items" in schema:
        item = schema["items"]
        for trial in _field(item, ""):
            yield Trial(path, f"item: {trial.why}", [trial.value], trial.beyond)
        for trial in _children(item, ""):
            fields = _item(item, 0) | {trial.path.removeprefix("."): trial.value}
            yield Trial(path, f"item{trial.path}: {trial.why}", [fields], trial.beyond)
    for trial in _field(schema.get("additionalProperties", {"type": "any"}), ""):
        yield Trial(path, f"value: {trial.why}", {"key": trial.value}, trial.beyond)


def _field(schema: Schema, path: str) -> Iterator[Trial]:
    kind = "quantity" if schema.get("x-kubernetes-int-or-string") else schema["type"]
    for value in WRONG_TYPES[kind]:
        yield Trial(path, f"{type(value).__name__} for {kind}", value, beyond=True)
    yield from _numbers(schema, path)
    yield from _texts(schema, path)
    if "enum" in schema:
        for value in schema["enum"]:
            yield Trial(path, "enum", value, beyond=False)
        yield Trial(path, "enum", "Other", beyond=True)
    if "maxItems" in schema:
        yield Trial(path, "maxItems", [_item(schema["items"], i) for i in range(schema["maxItems"])], beyond=False)
        yield Trial(path, "maxItems", [_item(schema["items"], i) for i in range(schema["maxItems"] + 1)], beyond=True)
    if "maxProperties" in schema:
        yield Trial(path, "maxProperties", {f"k{i}": "1" for i in range(schema["maxProperties"])}, beyond=False)
        yield Trial(path, "maxProperties", {f"k{i}": "1" for i in range(schema["maxProperties"] + 1)}, beyond=True)


def _numbers(schema: Schema, path: str) -> Iterator[Trial]:
    step = 1 if schema.get("type") == "integer" else 0.01
    for bound, beyond in (("minimum", -step), ("maximum", step)):
        if bound in schema and "type" in schema:
            yield Trial(path, bound, schema[bound], beyond=False)
            yield Trial(path, bound, schema[bound] + beyond, beyond=True)


def _texts(schema: Schema, path: str) -> Iterator[Trial]:
    if "minLength" in schema:
        yield Trial(path, "minLength", "", beyond=True)
    if "maxLength" in schema:
        yield Trial(path, "maxLength", "a" * (schema["maxLength"] + 1), beyond=True)
    if "pattern" in schema:
        yield Trial(path, "pattern", " ~ ", beyond=True)


def _item(schema: Schema, number: int) -> Any:
    """An item that is like no other of its list."""
    if schema["type"] != "object":
        return f"--item-{number}"
    required = schema.get("required", ["key"])
    return dict.fromkeys(required, f"item{number}")
