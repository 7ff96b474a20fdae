"""Labelled traffic: requests, and how well small models answered each. First in the flow of training.

Two kinds of columns are read, as CSV or as JSON, one object a line:

- those of LLMRouter: task, question, and one score between 0 and 1 for each model;
- plain ones: prompt, enough (0 or 1: whether the small model was enough) and, if known, task. In JSON a row may
  have the whole body of a chat request as `request` instead, so that tools and turns can be learned from too.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from heterofleet.router import openai

Array = NDArray[np.float64]

SMALL: Final = (
    "qwen2.5-7b-instruct",
    "llama-3.1-8b-instruct",
    "gemma-2-9b-it",
    "mistral-7b-instruct-v0.3",
    "codegemma-7b",
    "llama3-chatqa-1.5-8b",
)
LARGE: Final = ("llama3-chatqa-1.5-70b", "llama-3.1-nemotron-51b-instruct", "llama-3.3-nemotron-super-49b-v1")
"""The models of LLMRouter's traffic that are taken for small and for large ones unless others are named."""

ENOUGH: Final = 0.5
"""A small model was enough where its answer scored at least this."""

_FEWEST: Final = 50
"""Rows below which neither weights nor measures mean anything."""

_LABELS: Final = {"0": 0.0, "0.0": 0.0, "false": 0.0, "1": 1.0, "1.0": 1.0, "true": 1.0}


class InvalidTraffic(ValueError):
    """Traffic that nothing can be learned from; `str(error)` is the sentence."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """`small` and `large` are scores, one row a request and one column a model; `tasks` is empty where not known."""

    requests: tuple[openai.Request, ...]
    tasks: tuple[str, ...]
    small: Array
    large: Array

    @property
    def enough(self) -> Array:
        """0 or 1 for each request and small model."""
        return (self.small >= ENOUGH).astype(float)

    @property
    def target(self) -> Array:
        """What is learned: the share of the small models that were enough."""
        target: Array = self.enough.mean(axis=1)
        return target


class _Row(NamedTuple):
    """A row of either kind; `number` is its line, or that of its end where a CSV's row has several."""

    number: int
    values: Mapping[str, Any]


def read(text: str, *, lines_of_json: bool, small: Sequence[str] = SMALL, large: Sequence[str] = LARGE) -> Traffic:
    """Parse a file. Raises InvalidTraffic with the sentence that mends it."""
    rows = list(_json(text) if lines_of_json else _csv(text))
    if not rows:
        raise InvalidTraffic("there are no rows")
    columns = rows[0].values.keys()
    found = _plain(rows) if "enough" in columns else _scored(rows, small, large)
    if len(rows) < _FEWEST:
        raise InvalidTraffic(f"there are {len(rows)} rows; at least {_FEWEST} are needed to learn anything")
    if (found.enough.min(axis=0) == found.enough.max(axis=0)).all():
        raise InvalidTraffic("the small model was always enough, or never: there is nothing to tell apart")
    return found


def _csv(text: str) -> Iterator[_Row]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for values in reader:
            if None in values or None in values.values():
                raise InvalidTraffic(f"line {reader.line_num}: it has not as many values as there are columns")
            yield _Row(reader.line_num, values)
    except csv.Error as exc:
        raise InvalidTraffic(f"line {reader.reader.line_num}: no CSV ({exc}); long prompts fit JSON lines") from exc


def _json(text: str) -> Iterator[_Row]:
    # Not splitlines(), which also splits at separators that JSON allows inside of a text.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            values = orjson.loads(line)
        except orjson.JSONDecodeError as exc:
            raise InvalidTraffic(f"line {number}: no JSON ({exc})") from exc
        if not isinstance(values, dict):
            raise InvalidTraffic(f"line {number}: a row must be a JSON object")
        yield _Row(number, values)


def _plain(rows: Sequence[_Row]) -> Traffic:
    """The large model is taken to be always enough, since plain rows do not tell."""
    asked = "request" if "request" in rows[0].values else "prompt"
    requests = tuple(_body(row) if asked == "request" else _request(row, _text(row, asked)) for row in rows)
    small = np.array([[_label(row)] for row in rows])
    return Traffic(requests, _tasks(rows), small, np.ones_like(small))


def _scored(rows: Sequence[_Row], small: Sequence[str], large: Sequence[str]) -> Traffic:
    columns = rows[0].values
    missing = [name for name in ("question", *small, *large) if name not in columns]
    if missing:
        raise InvalidTraffic(
            f"it has no column {', '.join(missing)}: rows are prompt, enough and perhaps task, or question, task"
            f" and a score for each model; it has {', '.join(columns)}"
        )
    requests = tuple(_request(row, _text(row, "question")) for row in rows)
    scores = np.array([[_score(row, name) for name in (*small, *large)] for row in rows])
    return Traffic(requests, _tasks(rows), scores[:, : len(small)], scores[:, len(small) :])


def _tasks(rows: Sequence[_Row]) -> tuple[str, ...]:
    return tuple(_text(row, "task") for row in rows) if "task" in rows[0].values else ()


def _text(row: _Row, column: str) -> str:
    value = row.values.get(column)
    if not isinstance(value, str) or not value.strip():
        raise InvalidTraffic(f"line {row.number}: {column} must be a text that is not empty")
    return value


def _label(row: _Row) -> float:
    value = row.values.get("enough")
    known = _LABELS.get(str(value).strip().lower())
    if known is None:
        raise InvalidTraffic(f"line {row.number}: enough must be 0 or 1, not {_shown(value)}")
    return known


def _score(row: _Row, model: str) -> float:
    value = row.values.get(model)
    try:
        score = float(value) if isinstance(value, str | int | float) else -1.0
    except ValueError:
        score = -1.0
    if not 0 <= score <= 1:  # NaN is not either.
        raise InvalidTraffic(f"line {row.number}: {model} must be a score between 0 and 1, not {_shown(value)}")
    return score


def _shown(value: object) -> str:
    return repr(value) if value != "" and len(repr(value)) < 40 else "what stands there"


def _request(row: _Row, prompt: str) -> openai.Request:
    return _parsed(row, {"model": "auto", "messages": [{"role": "user", "content": prompt}]})


def _body(row: _Row) -> openai.Request:
    body = row.values.get("request")
    if not isinstance(body, dict):
        raise InvalidTraffic(f"line {row.number}: request must be the body of a chat request, as an object")
    return _parsed(row, {"model": "auto", **body})


def _parsed(row: _Row, body: Mapping[str, Any]) -> openai.Request:
    try:
        return openai.parse(openai.Operation.CHAT, orjson.dumps(body))
    except openai.InvalidRequest as exc:
        raise InvalidTraffic(f"line {row.number}: {exc}") from exc
    except TypeError as exc:  # Lone halves of surrogate pairs, of which no request can consist.
        raise InvalidTraffic(f"line {row.number}: the text is not valid Unicode") from exc
