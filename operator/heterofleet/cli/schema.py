"""What the API server's schema says of a fleet, offline: each violation with its place and a sentence that mends it.

The models are read as the API server reads a JSON body: no coercion of types, camelCase keys alone, and a null
for a field counts as the field's absence. Second step of `validate`, after `yamltext`.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cli import extraargs, fields
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
    if path == ("metadata", "name") and detail["type"].startswith("string_"):
        return Violation(path, _NAME_RULE)
    sentence = _SENTENCES.get(detail["type"])
    return Violation(path, sentence(detail, path) if sentence else _plain(detail))


_NAME_RULE: Final = (
    "a fleet's name has at most 40 characters, begins with a letter, ends with a letter or digit, "
    "and holds only lower-case letters, digits and '-'"
)


def _plain(detail: ErrorDetails) -> str:
    message = detail["msg"].removeprefix("Value error, ")
    return message if message.startswith("Value error") else message[:1].lower() + message[1:]


def _wrong_type(expected: str) -> Callable[[ErrorDetails, Path], str]:
    return lambda detail, _: f"must be {expected}, not {_shown(detail['input'])}"


def _not_text(detail: ErrorDetails, _: Path) -> str:
    value = detail["input"]
    if isinstance(value, bool | int | float):
        return f'must be text: put it in quotes, "{_shown(value)}"'
    return f"must be text, not {_shown(value)}"


def _bound(words: str, key: str) -> Callable[[ErrorDetails, Path], str]:
    return lambda detail, _: f"must be {words} {detail['ctx'][key]}, not {_shown(detail['input'])}"


def _no_choice(detail: ErrorDetails, _: Path) -> str:
    choices = str(detail["ctx"]["expected"]).replace("'", "")
    names = choices.replace(" or ", ", ").split(", ")
    return f"{_shown(detail['input'])} is not one of {choices}{fields.did_you_mean(str(detail['input']), names)}"


def _wrong_pattern(detail: ErrorDetails, path: Path) -> str:
    field = fields.field(path)
    shape = field.description if field and field.description else f"text that matches {detail['ctx']['pattern']}"
    return f"{_shown(detail['input'])} is not of the form {shape.removesuffix('.')}"


def _missing(_: ErrorDetails, path: Path) -> str:
    field = fields.field(path)
    return f"is required: {field.description}" if field and field.description else "is required"


_SENTENCES: Final[Mapping[str, Callable[[ErrorDetails, Path], str]]] = {
    "missing": _missing,
    "int_type": _wrong_type("a whole number"),
    "int_from_float": _wrong_type("a whole number"),
    "float_type": _wrong_type("a number"),
    "bool_type": _wrong_type("true or false"),
    "dict_type": _wrong_type("a mapping"),
    "model_type": _wrong_type("a mapping"),
    "list_type": _wrong_type("a list"),
    "string_type": _not_text,
    "greater_than_equal": _bound("at least", "ge"),
    "less_than_equal": _bound("at most", "le"),
    "enum": _no_choice,
    "literal_error": _no_choice,
    "string_pattern_mismatch": _wrong_pattern,
}


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return json.dumps(value)
