"""Words for what a schema refuses: what stands there, what should, in the terms of whoever wrote the file.

Used by `schema`; a type of error that is not here keeps pydantic's own words.
"""

import json
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import StringConstraints
from pydantic_core import ErrorDetails

from heterofleet.api import base
from heterofleet.cli import fields
from heterofleet.cli.yamltext import Path


def of(detail: ErrorDetails, path: Path) -> str:
    """What to say of one error of pydantic's."""
    if path == ("metadata", "name") and detail["type"].startswith("string_"):
        return _NAME_RULE
    sentence = _SENTENCES.get(detail["type"])
    return sentence(detail, path) if sentence else _plain(detail)


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


def _length(words: str, key: str, what: str) -> Callable[[ErrorDetails, Path], str]:
    return lambda detail, _: f"must have {words} {detail['ctx'][key]} {what}"


def _too_short(detail: ErrorDetails, _: Path) -> str:
    least = detail["ctx"]["min_length"]
    return "must not be empty" if least == 1 else f"must have at least {least} characters"


def _bound(words: str, key: str) -> Callable[[ErrorDetails, Path], str]:
    return lambda detail, _: f"must be {words} {detail['ctx'][key]}, not {_shown(detail['input'])}"


def _no_choice(detail: ErrorDetails, _: Path) -> str:
    choices = str(detail["ctx"]["expected"]).replace("'", "")
    names = choices.replace(" or ", ", ").split(", ")
    return f"{_shown(detail['input'])} is not one of {choices}{fields.did_you_mean(str(detail['input']), names)}"


def _wrong_pattern(detail: ErrorDetails, path: Path) -> str:
    pattern, shown = str(detail["ctx"]["pattern"]), _shown(detail["input"])
    if detail["input"] == "":
        return "must not be empty"
    if pattern in _SHAPES:
        return f"{shown} is not {_SHAPES[pattern]}"
    field = fields.field(path)
    if field is not None and "://" in (field.description or ""):
        return f"{shown} is not of the form {str(field.description).removesuffix('.')}"
    return f"{shown} does not match {pattern}"


def _pattern(annotated: Any) -> str:
    constraints = (part for part in typing.get_args(annotated) if isinstance(part, StringConstraints))
    return next(str(constraint.pattern) for constraint in constraints if constraint.pattern)


_SHAPES: Final[Mapping[str, str]] = {
    _pattern(base.ObjectName): "the name of an object: lower-case letters, digits, '-' and '.'",
    _pattern(base.LabelKey): "a label's key, such as example.org/rack",
    _pattern(base.LabelValue): "a label's value: letters, digits, '-', '_' and '.'",
    _pattern(base.Quantity): "an amount such as 4, 500m or 16Gi",
    _pattern(base.Image): "an image: text without blanks",
}


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
    "string_too_short": _too_short,
    "string_too_long": _length("at most", "max_length", "characters"),
    "too_long": _length("at most", "max_length", "entries"),
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
