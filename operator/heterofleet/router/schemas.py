"""Whether a value obeys a JSON schema that a client wrote.

A part of quality. The schema is a stranger's, and is judged on the router's only thread: regular expressions run in an
engine that is linear, nothing is fetched, and the work is bounded before it is begun. That work is the number of
subschemas that one path into the value may meet,

    work(S, d) = 1 + sum of work(A, d) over all A that S applies in place (allOf, anyOf, oneOf, $ref ...)
                   + sum of work(C, d - 1) over all C that S applies to the same child

times the text's length; without the bound twenty nested pairs of anyOf are a million subschemas. What is beyond it,
does not compile, or refers in ways that cannot be followed here gets no verdict: it is the client's own.
"""

import functools
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

import jsonschema_rs
import orjson

LONGEST_SCHEMA: Final = 65_536
"""Bytes of a schema that is compiled."""
MOST_WORK: Final = 50_000_000
"""Subschemas times characters: some tens of milliseconds at the worst that was found."""
DEEPEST: Final = 24
"""Levels of a value that are judged."""

_KEPT: Final = 256
_LEAST_CHARACTERS: Final = 512
"""So long is a text taken to be at least: to meet a subschema costs something even where it reads nothing."""
_MOST_STEPS: Final = 20_000
_PATTERNS: Final = jsonschema_rs.RegexOptions(size_limit=1_048_576, dfa_size_limit=1_048_576)

_IN_PLACE: Final = ("allOf", "anyOf", "oneOf")
_IN_PLACE_ONE: Final = ("not", "if", "then", "else")
_UNFOLLOWED: Final = frozenset({"$dynamicRef", "$recursiveRef", "$id", "id"})


def breach(schema: object, value: object, characters: int) -> str | None:
    """Where `value`, of a text of so many characters, breaks `schema`; None if nowhere, or without a verdict."""
    judge = _of(schema)
    if judge is None or not judge.affords(value, characters):
        return None
    try:
        judge.validator.validate(value)
    except jsonschema_rs.ValidationError as exc:
        where = "/".join(str(step) for step in exc.instance_path)[:100]
        return f"it breaks the asked schema's rule '{exc.kind.name}' at '/{where}'"
    except ValueError:  # Nested deeper than it reads.
        return None
    return None


def _of(schema: object) -> "_Judge | None":
    try:
        text = orjson.dumps(schema)
    except orjson.JSONEncodeError:  # Nested deeper than it writes.
        return None
    return _compiled(text) if len(text) <= LONGEST_SCHEMA else None


@functools.lru_cache(maxsize=_KEPT)
def _compiled(text: bytes) -> "_Judge | None":
    """The compiled schema, kept by its text; None where there is no judging by it."""
    schema = orjson.loads(text)
    work = _Work(schema)
    if work.at(0) > MOST_WORK:
        return None
    try:
        validator = jsonschema_rs.validator_for(schema, pattern_options=_PATTERNS, offline=True)
    except (ValueError, TypeError):
        return None
    return _Judge(validator, work)


class _Judge:
    """A compiled schema, and what it costs."""

    __slots__ = ("_work", "validator")

    def __init__(self, validator: Any, work: "_Work") -> None:
        self.validator = validator
        self._work = work

    def affords(self, value: object, characters: int) -> bool:
        """Whether `value` can be judged within the bound."""
        depth = _depth(value, DEEPEST + 1)
        return depth <= DEEPEST and self._work.at(depth) * max(characters, _LEAST_CHARACTERS) <= MOST_WORK


def _depth(value: object, most: int) -> int:
    """Levels of lists and objects in `value`; `most` if there are so many or more."""
    depth, level = 0, [value]
    while depth < most:
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item if isinstance(item, list) else ())
        ]
        if not level:
            return depth
        depth += 1
    return most


class _Work:
    """Subschemas that one path into a value of some depth may meet; beyond MOST_WORK once it cannot be told."""

    __slots__ = ("_known", "_root")

    def __init__(self, root: object) -> None:
        self._root = root
        self._known: dict[tuple[int, int], int] = {}

    def at(self, depth: int) -> int:
        try:
            return self._of(self._root, depth)
        except RecursionError:
            return MOST_WORK + 1

    def _of(self, schema: object, depth: int) -> int:
        if not isinstance(schema, dict):
            return 1
        key = (id(schema), depth)
        known = self._known.get(key)
        if known is None:
            # While it is being counted, a schema that applies itself to the same value is endless.
            self._known[key] = MOST_WORK + 1
            known = self._known[key] = self._count(schema, depth)
        return known

    def _count(self, schema: dict[str, Any], depth: int) -> int:
        if len(self._known) > _MOST_STEPS or (schema is not self._root and not _UNFOLLOWED.isdisjoint(schema)):
            return MOST_WORK + 1
        work = 1 + len(schema) + _length(schema.get("enum"))
        for applied in _applied(schema):
            work += self._of(applied, depth)
        if "$ref" in schema:
            target = _resolve(self._root, schema["$ref"])
            work += MOST_WORK if target is None else self._of(target, depth)
        if depth > 0:
            for exclusive in _descents(schema):
                work += max((self._of(child, depth - 1) for child in exclusive), default=0)
        return min(work, MOST_WORK + 1)


def _applied(schema: Mapping[str, Any]) -> Iterator[object]:
    """What a schema applies to the value itself."""
    for keyword in _IN_PLACE:
        yield from _list(schema.get(keyword))
    for keyword in _IN_PLACE_ONE:
        if keyword in schema:
            yield schema[keyword]
    for keyword in ("dependentSchemas", "dependencies"):
        yield from _values(schema.get(keyword))


def _descents(schema: Mapping[str, Any]) -> Iterator[list[object]]:
    """What a schema applies to a child of the value: of each group one at most."""
    yield [*_values(schema.get("properties")), schema.get("additionalProperties")]
    items = schema.get("items")
    yield [
        *_list(schema.get("prefixItems")),
        *(items if isinstance(items, list) else [items]),
        schema.get("additionalItems"),
    ]
    for pattern in _values(schema.get("patternProperties")):
        yield [pattern]
    for keyword in ("contains", "propertyNames", "unevaluatedItems", "unevaluatedProperties"):
        if keyword in schema:
            yield [schema[keyword]]


def _resolve(root: object, reference: object) -> Any:
    """What a pointer within the schema points to; None for every other reference."""
    if reference == "#":
        return root
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return None
    found: Any = root
    for step in unquote(reference[2:]).split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and name in found:
            found = found[name]
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _values(value: object) -> list[object]:
    return list(value.values()) if isinstance(value, dict) else []


def _length(value: object) -> int:
    return len(value) if isinstance(value, list) else 0
