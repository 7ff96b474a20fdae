"""Reads YAML and remembers where each value stands, so that a finding can point at its line.

The values are what kubectl would send: timestamps stay text, keys become text, a key that is given twice is an
error, and nothing is taken that JSON does not have. First step of `validate` and `render`.
"""

import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import yaml

Path = tuple[str | int, ...]
"""From the document's root: keys of mappings and indexes of lists."""

_MOST_VALUES: Final = 200_000
"""Bounds what a few aliases can blow up to."""


class Span(NamedTuple):
    """A piece of one line; line and column count from 1."""

    line: int
    column: int
    length: int = 1


class UnreadableError(Exception):
    """The text is not YAML that a cluster could take; `span` is where reading stopped."""

    def __init__(self, message: str, span: Span) -> None:
        super().__init__(message)
        self.span = span


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file: its value and the places of all its parts."""

    body: Any
    keys: Mapping[Path, Span]
    values: Mapping[Path, Span]

    def key_span(self, path: Path) -> Span:
        """Where the key (or list item) at `path` stands, or else what encloses it."""
        return _nearest(self.keys, path)

    def value_span(self, path: Path) -> Span:
        """Where the scalar at `path` stands; a mapping or list is shown by its key."""
        return _nearest(self.values, path) if path in self.values else self.key_span(path)

    def below(self, path: Path) -> "Document":
        """The part at `path` as a document of its own, for the items of a List."""
        body = self.body
        for step in path:
            body = body[step]
        depth = len(path)
        return Document(
            body=body,
            keys={key[depth:]: span for key, span in self.keys.items() if key[:depth] == path},
            values={key[depth:]: span for key, span in self.values.items() if key[:depth] == path},
        )


def documents(text: str) -> Iterator[Document]:
    """Yield the documents of `text` that are not empty.

    Raises UnreadableError, also after some documents were yielded.
    """
    try:
        yield from _read(_Loader(text))
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        span = Span(before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise UnreadableError(f"character {ord(text[error.position]):#06x} may not stand in YAML", span) from error
    except yaml.MarkedYAMLError as error:
        raise UnreadableError(_sentence(error), _mark_span(error.problem_mark or error.context_mark)) from error


def _read(loader: "_Loader") -> Iterator[Document]:
    while loader.check_node():
        node = loader.get_node()
        built = _Built(loader)
        body = built.value(node, ()) if node is not None else None
        if body is not None:
            yield Document(body, built.keys, built.values)


def dotted(path: Path) -> str:
    """`spec.large.engine.extraArgs[2]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


class _Loader(yaml.SafeLoader):
    """Kubernetes' reading of YAML has no timestamps: they are text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Built:
    """Values of one document under construction."""

    def __init__(self, loader: _Loader) -> None:
        self.keys: dict[Path, Span] = {}
        self.values: dict[Path, Span] = {}
        self._loader = loader
        self._open: set[int] = set()
        self._count = 0

    def value(self, node: yaml.Node, path: Path) -> Any:
        self._count += 1
        if id(node) in self._open:
            raise UnreadableError("an alias stands inside of what it names: write the value out", _span(node))
        if self._count > _MOST_VALUES:
            raise UnreadableError(f"aliases make this document larger than {_MOST_VALUES} values", _span(node))
        self.keys.setdefault(path, _span(node))
        if isinstance(node, yaml.ScalarNode):
            self.values[path] = _span(node)
            return self._scalar(node)
        self._open.add(id(node))
        try:
            return self._mapping(node, path) if isinstance(node, yaml.MappingNode) else self._list(node, path)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        _refuse_repeated(node)
        self._loader.flatten_mapping(node)
        built: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            self.keys[(*path, key)] = _span(key_node)
            built[key] = self.value(value_node, (*path, key))
        return built

    def _list(self, node: yaml.Node, path: Path) -> list[Any]:
        return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise UnreadableError("a key must be text", _span(node))
        key = self._scalar(node)
        return str(key).lower() if isinstance(key, bool) else str(key)

    def _scalar(self, node: yaml.ScalarNode) -> str | int | float | bool | None:
        value = self._loader.construct_object(node)
        if not isinstance(value, str | int | float | None):
            raise UnreadableError(f"{node.tag} is a YAML type that Kubernetes does not take: write text", _span(node))
        if isinstance(value, float) and not math.isfinite(value):
            raise UnreadableError(f"{node.value} is not a number that Kubernetes takes", _span(node))
        # To a cluster 4.0 is a whole number like any other.
        return int(value) if isinstance(value, float) and value.is_integer() else value


def _refuse_repeated(node: yaml.MappingNode) -> None:
    first_lines: dict[Hashable, int] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
            if key.value in first_lines:
                raise UnreadableError(f"{key.value} is given twice, first on line {first_lines[key.value]}", _span(key))
            first_lines[key.value] = key.start_mark.line + 1


def _span(node: yaml.Node) -> Span:
    start, end = node.start_mark, node.end_mark
    length = end.column - start.column if end.line == start.line else 1
    return Span(start.line + 1, start.column + 1, max(1, length))


def _mark_span(mark: Any) -> Span:
    return Span(mark.line + 1, mark.column + 1) if mark is not None else Span(1, 1)


def _sentence(error: yaml.MarkedYAMLError) -> str:
    problem = str(error.problem or "cannot be read")
    if "'\\t'" in problem:
        return "a tab cannot indent YAML: use spaces"
    return f"{problem}, {error.context}" if error.context else problem


def _nearest(spans: Mapping[Path, Span], path: Path) -> Span:
    while path not in spans and path:
        path = path[:-1]
    return spans.get(path, Span(1, 1))
