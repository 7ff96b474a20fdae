"""Schemas of strangers: they are obeyed, they cost little, and what cannot be judged safely is not."""

from typing import Any

import jsonschema_rs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.router import schemas

PERSON = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "^[A-Z]"},
        "boss": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
    },
    "required": ["name"],
    "additionalProperties": False,
}


def breach(schema: object, value: object) -> str | None:
    return schemas.breach(schema, value, len(orjson.dumps(value)))


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"name": "Ann", "boss": {"name": "Bo", "boss": None}}, None),
        ({"name": "ann"}, "it breaks the asked schema's rule 'pattern' at '/name'"),
        ({"name": "Ann", "boss": {"name": "Bo", "boss": {}}}, "it breaks the asked schema's rule 'anyOf' at '/boss'"),
        ([], "it breaks the asked schema's rule 'type' at '/'"),
    ],
)
def test_a_breach_is_told_by_rule_and_place_never_by_content(value: object, sentence: str | None):
    assert breach(PERSON, value) == sentence


def doubled(levels: int) -> dict[str, Any]:
    """A small schema that means 2 ** levels subschemas."""
    definitions: dict[str, Any] = {
        f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]} for n in range(levels)
    }
    return {"$ref": "#/$defs/d0", "$defs": {**definitions, f"d{levels}": {"type": "integer"}}}


def test_a_schema_that_explodes_is_not_judged():
    assert [breach(doubled(4), "x"), breach(doubled(40), "x")] == [
        "it breaks the asked schema's rule 'type' at '/'",
        None,
    ]


def test_a_schema_that_explodes_with_the_depth_of_the_value_is_judged_as_deep_as_it_may():
    tree = {"anyOf": [{"items": {"$ref": "#"}, "minItems": 1}, {"items": {"$ref": "#"}, "maxItems": 1}]}
    flat: object = [[1, 2], 3]
    deep: object = 1
    for _ in range(schemas.DEEPEST):
        deep = [deep, deep] if not isinstance(deep, list) else [deep]
    assert [breach({**tree, "type": "array"}, flat), breach({**tree, "type": "array"}, deep)] == [
        "it breaks the asked schema's rule 'anyOf' at '/'",
        None,
    ]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "no such type"},
        {"type": 5},
        {"pattern": "(?=x)", "type": "integer"},
        {"$ref": "http://127.0.0.1:9/schema"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "#/$defs/missing"},
        {"$ref": "#name", "$defs": {"a": {"$anchor": "name", "type": "integer"}}},
        {"$ref": "#"},
        {"anyOf": [{"$ref": "#"}, {"type": "integer"}]},
        {"$dynamicRef": "#a", "allOf": [{"$dynamicRef": "#a"}]},
        {"properties": {"a": {"$id": "http://x/y", "type": "integer"}}},
        {"$schema": "http://example.org/other", "type": "integer"},
        {"enum": ["x" * schemas.LONGEST_SCHEMA]},
        [],
        "schema",
        5,
    ],
)
def test_a_schema_that_does_not_compile_or_cannot_be_followed_gives_no_verdict(schema: object):
    assert breach(schema, "some text") is None


def test_a_schema_nested_beyond_all_sense_gives_no_verdict():
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(900):
        schema = {"not": schema}
    assert breach(schema, "x") is None


def test_a_value_nested_beyond_all_sense_gives_no_verdict():
    value: object = "x"
    for _ in range(200):
        value = [value]
    assert breach({"items": {"$ref": "#"}, "type": "array"}, value) is None


def test_a_pattern_cannot_backtrack():
    assert breach({"pattern": "^(a+)+$"}, "a" * 50_000 + "!") == "it breaks the asked schema's rule 'pattern' at '/'"


@pytest.mark.parametrize("reference", ["#/$defs/a~1b", "#/$defs/c%20d", "#/allOf/0/not"])
def test_pointers_are_followed(reference: str):
    schema = {
        "$defs": {"a/b": {"type": "integer"}, "c d": {"type": "integer"}},
        "allOf": [{"not": {"type": "integer"}}],
        "properties": {"x": {"$ref": reference}},
    }
    assert breach(schema, {"x": "1"}) == "it breaks the asked schema's rule 'type' at '/x'"


LEAVES = st.sampled_from(
    [{"type": "integer"}, {"type": "string"}, {"type": "object"}, {"minimum": 1}, {"maxLength": 2}, True, {"const": 1}]
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: (
        st.dictionaries(
            st.sampled_from(["allOf", "anyOf", "oneOf", "prefixItems"]),
            st.lists(inner, min_size=1, max_size=2),
            max_size=1,
        )
        | st.dictionaries(st.sampled_from(["items", "additionalProperties", "not"]), inner, max_size=2)
        | st.fixed_dictionaries({"properties": st.dictionaries(st.sampled_from("ab"), inner, max_size=2)})
        | st.fixed_dictionaries(
            {"patternProperties": st.dictionaries(st.sampled_from(["^a", "b$"]), inner, max_size=2)}
        )
    ),
    max_leaves=8,
)
VALUES = st.recursive(
    st.none() | st.integers(0, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=6,
)


@given(SCHEMAS, VALUES)
def test_ordinary_schemas_are_judged_as_the_standard_has_it(schema: Any, value: object):
    assert (breach(schema, value) is None) is jsonschema_rs.is_valid(schema, value)


def test_what_pydantic_writes_is_judged():
    union = {
        "$defs": {
            "Leaf": {"type": "object", "properties": {"kind": {"const": "leaf"}, "n": {"type": "integer"}}},
            "Pair": {
                "type": "object",
                "properties": {
                    "kind": {"const": "pair"},
                    "left": {"$ref": "#/$defs/T"},
                    "right": {"$ref": "#/$defs/T"},
                },
                "required": ["kind", "left", "right"],
            },
            "T": {"anyOf": [{"$ref": "#/$defs/Leaf"}, {"$ref": "#/$defs/Pair"}]},
        },
        "$ref": "#/$defs/T",
    }
    value: dict[str, Any] = {"kind": "leaf", "n": 1}
    for _ in range(5):
        value = {"kind": "pair", "left": value, "right": value}
    assert breach(union, value) is None
    assert breach(union, {**value, "left": {"kind": "none"}}) == "it breaks the asked schema's rule 'anyOf' at '/'"
