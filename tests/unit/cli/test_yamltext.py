"""Reading YAML with places: what kubectl would send, and where each part of it stands."""

import pytest

from heterofleet.cli import yamltext
from heterofleet.cli.yamltext import Span, UnreadableError

TEXT = """\
kind: A
list:
  - one
  - {two: 2}
---
# an empty document is none
---
kind: B
"""


def test_every_key_and_value_has_its_place() -> None:
    first, second = yamltext.documents(TEXT)
    assert (first.body, second.body) == ({"kind": "A", "list": ["one", {"two": 2}]}, {"kind": "B"})
    assert first.keys == {
        (): Span(1, 1),
        ("kind",): Span(1, 1, 4),
        ("list",): Span(2, 1, 4),
        ("list", 0): Span(3, 5, 3),
        ("list", 1): Span(4, 5, 8),
        ("list", 1, "two"): Span(4, 6, 3),
    }
    assert first.values == {("kind",): Span(1, 7, 1), ("list", 0): Span(3, 5, 3), ("list", 1, "two"): Span(4, 11, 1)}
    assert second.value_span(("kind",)) == Span(8, 7, 1)


def test_what_is_missing_is_shown_by_what_would_hold_it() -> None:
    (document,) = yamltext.documents("spec:\n  large: {}\n")
    assert document.value_span(("spec", "large", "model", "source")) == Span(2, 3, 5)


def test_the_items_of_a_list_keep_their_places() -> None:
    (document,) = yamltext.documents("items:\n- kind: A\n- kind: B\n")
    part = document.below(("items", 1))
    assert (part.body, part.value_span(("kind",))) == ({"kind": "B"}, Span(3, 9, 1))


def test_values_are_those_that_kubectl_would_send() -> None:
    (document,) = yamltext.documents("at: 2026-01-02\nyes: on\n1: 010\nf: 1e3\ng: 4.0\nn: ~\nq: '8'\n")
    assert document.body == {"at": "2026-01-02", "true": True, "1": 8, "f": "1e3", "g": 4, "n": None, "q": "8"}


def test_anchors_and_merges_are_written_out() -> None:
    (document,) = yamltext.documents("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n")
    assert document.body == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}


@pytest.mark.parametrize(
    ("text", "message", "span"),
    [
        ("a: 1\nb: {\n", "expected the node content, but found '<stream end>', while parsing a flow node", Span(3, 1)),
        ("a: b: c\n", "mapping values are not allowed here", Span(1, 5)),
        ("a:\n\tb: 1\n", "a tab cannot indent YAML: use spaces", Span(2, 1)),
        ("a: 1\nb: 2\na: 3\n", "a is given twice, first on line 1", Span(3, 1)),
        ("a: *b\n", "found undefined alias 'b'", Span(1, 4)),
        ("a: &a [*a]\n", "an alias stands inside of what it names: write the value out", Span(1, 4, 7)),
        ("a: .inf\n", ".inf is not a number that Kubernetes takes", Span(1, 4, 4)),
        ("a: !!binary aGk=\n", "tag:yaml.org,2002:binary is a YAML type", Span(1, 4, 13)),
        ("? [a]\n: 1\n", "a key must be text", Span(1, 3, 3)),
        ("a: 1\nb: \x00\n", "character 0x0000 may not stand in YAML", Span(2, 4)),
    ],
)
def test_what_cannot_be_read_says_why_and_where(text: str, message: str, span: Span) -> None:
    with pytest.raises(UnreadableError) as caught:
        list(yamltext.documents(text))
    assert str(caught.value).startswith(message)
    assert caught.value.span == span


def test_aliases_cannot_blow_a_document_up() -> None:
    levels = "\n".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, 9))
    with pytest.raises(UnreadableError, match="larger than"):
        list(yamltext.documents(f"l0: &l0 [x]\n{levels}\n"))


def test_paths_are_written_with_dots_and_indexes() -> None:
    assert yamltext.dotted(("spec", "large", "engine", "extraArgs", 2)) == "spec.large.engine.extraArgs[2]"
