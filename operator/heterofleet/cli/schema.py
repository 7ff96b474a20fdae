"""What the API server's schema says of a fleet, offline: each violation with its place and a sentence that mends it.

The models are read as the API server reads a JSON body: no coercion of types, camelCase keys alone, and a null
for a field counts as the field's absence. Second step of `validate`, after `yamltext`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cli import extraargs, fields, sentences
from heterofleet.cli.yamltext import Path


class Violation(NamedTuple):
    """`at_key` says that the key itself is wrong, not its value."""

    path: Path
    message: str
    at_key: bool = False


class Reading(NamedTuple):
    """A fleet, or else why there is none."""

    fleet: HeterogeneousDeployment | None
    violations: tuple[Violation, ...]


def read(body: Mapping[str, Any]) -> Reading:
    """Parse one fleet as the API server would."""
    written: dict[str, Any] = _without_nulls({key: value for key, value in body.items() if key != "status"}, ())
    reserved = tuple(Violation(*found) for found in extraargs.reserved(written))
    try:
        fleet = HeterogeneousDeployment.parse(written)
    except ValidationError as error:
        told = [violation for detail in error.errors(include_url=False) for violation in _violations(detail)]
        rest = (violation for violation in told if not reserved or violation.message != extraargs.RULE.message)
        return Reading(None, (*rest, *reserved))
    return Reading(fleet, ())


def _without_nulls(value: Any, path: Path) -> Any:
    """Leave out nulls as the server does: of known fields and of typed mappings, never inside an overlay."""
    if fields.is_overlay(path):
        return value
    if isinstance(value, Mapping):
        unknown = {key for key in value if fields.model(path) is not None and fields.field((*path, key)) is None}
        return {
            key: _without_nulls(item, (*path, key)) for key, item in value.items() if item is not None or key in unknown
        }
    if isinstance(value, list):
        return [_without_nulls(item, (*path, index)) for index, item in enumerate(value)]
    return value


def _violations(detail: ErrorDetails) -> list[Violation]:
    """One for each broken rule: a model tells all of them at once, in one sentence."""
    violation = _violation(detail)
    model = fields.model(violation.path) if detail["type"] == "value_error" else None
    broken = [rule for rule in getattr(model, "RULES", ()) if rule.message in violation.message]
    at = [(*violation.path, *rule.field.split(".")) if rule.field else violation.path for rule in broken]
    return [Violation(path, rule.message) for path, rule in zip(at, broken, strict=True)] or [violation]


def _violation(detail: ErrorDetails) -> Violation:
    path = tuple(step for step in detail["loc"] if step != "[key]")
    if detail["type"] == "extra_forbidden":
        return Violation(path, fields.advice(path), at_key=True)
    return Violation(path, sentences.of(detail, path))
