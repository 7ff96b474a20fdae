"""Answers that must have a form: the least value of a schema, and vectors."""

from typing import Any

import jsonschema_rs
import pytest

from heterofleet.simulate import embedding, skeleton

SCHEMAS: list[dict[str, Any]] = [
    {"type": "object", "properties": {"city": {"type": "string"}, "size": {"type": "integer"}}, "required": ["city"]},
    {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "number"}, "minItems": 2}}},
    {"enum": ["plan", "act"]},
    {"const": 7},
    {"anyOf": [{"type": "null"}, {"type": "string"}]},
    {"type": ["string", "null"], "minLength": 9},
    {"type": "string", "maxLength": 2},
    {"type": "integer", "minimum": 5},
    {"type": "number", "exclusiveMinimum": 5},
    {"type": "integer", "maximum": -3},
    {"type": "boolean"},
    {"$defs": {"step": {"type": "object", "properties": {"do": {"type": "string"}}, "required": ["do"]}},
     "type": "array", "items": {"$ref": "#/$defs/step"}, "minItems": 3},
    {"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
               {"properties": {"b": {"type": "boolean"}}, "required": ["b"]}]},
]  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_the_skeleton_of_a_schema_is_valid_by_it(schema: dict[str, Any]) -> None:
    jsonschema_rs.validator_for(schema).validate(skeleton.instance(schema))


def test_a_schema_without_end_has_an_end() -> None:
    endless = {"$defs": {"n": {"type": "object", "properties": {"n": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"}
    assert isinstance(skeleton.instance(endless), dict)


def cosine(one: str, other: str) -> float:
    return sum(a * b for a, b in zip(embedding.vector(one), embedding.vector(other), strict=True))


def test_similar_texts_are_near_and_others_far() -> None:
    question = "What is the capital city of Norway?"
    assert cosine(question, question) == pytest.approx(1.0)
    assert cosine(question, "what is the capital of Norway") > 0.8
    assert cosine(question, "Write a poem about seven green whales.") < 0.3
    assert embedding.vector("") == [1.0] + [0.0] * (embedding.DIMENSIONS - 1)
