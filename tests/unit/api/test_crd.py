"""The definitions made of the models: what the API server demands of a schema, and that nothing is left unsaid."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cases.judging import models
from heterofleet import generate
from heterofleet.api import base, crd, engine, placement, v1alpha1

ROOT = Path(__file__).parents[3]


def schemas(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """A schema and all that are in it, with their paths."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from schemas(child, f"{path}.{name}")
    for inner in ("items", "additionalProperties"):
        if inner in schema:
            yield from schemas(schema[inner], f"{path}[]")


def written_schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    for definition in crd.definitions():
        kind = definition["spec"]["names"]["kind"]
        yield from schemas(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"], kind)


def test_a_definition_is_small_enough_for_a_client_side_apply() -> None:
    for definition in crd.definitions():
        assert len(json.dumps(definition)) < 256 * 1024


def test_every_field_says_what_it_is() -> None:
    silent = [
        path
        for path, schema in written_schemas()
        if not path.endswith("[]") and ".metadata" not in path and not schema.get("description")
    ]
    assert silent == []


def test_every_description_is_one_or_more_sentences() -> None:
    unfinished = [path for path, schema in written_schemas() if schema.get("description", ".")[-1] not in ".)"]
    assert unfinished == []


def test_a_status_has_no_default_and_no_enumeration() -> None:
    status = [schema for path, schema in written_schemas() if ".status" in path]
    assert [schema for schema in status if "default" in schema or "enum" in schema] == []


def test_every_list_and_every_text_of_a_spec_is_bounded_so_that_rules_have_a_bounded_cost() -> None:
    unbounded = [
        path
        for path, schema in written_schemas()
        if ".spec" in path
        and (
            (schema.get("type") == "array" and "maxItems" not in schema)
            or (schema.get("type") == "string" and not {"maxLength", "enum"} & schema.keys())
            or ("additionalProperties" in schema and "maxProperties" not in schema)
        )
    ]
    assert unbounded == []


def test_what_a_structural_schema_cannot_say_is_refused() -> None:
    class Either(base.Model):
        value: int | str = 1

    with pytest.raises(crd.UnstructuralSchemaError, match=r"Either\.value: \['anyOf'\]"):
        crd.structural_schema(Either)


def test_a_default_is_written_out_with_those_of_its_children() -> None:
    scaling = crd.structural_schema(v1alpha1.FleetSpec)["properties"]["scaling"]
    assert scaling["default"]["large"] == {"writer": "Planner"}
    assert scaling["default"]["forecast"] == {"quantile": 0.975, "historyDays": 7}
    assert scaling["default"]["overrideSeconds"] == 3600


def test_the_generated_files_are_those_of_these_models() -> None:
    assert generate.drift(ROOT) == ""


def test_drift_shows_the_line_that_was_edited(tmp_path: Path) -> None:
    generate.write(tmp_path)
    assert generate.drift(tmp_path) == ""
    edited = tmp_path / "crds" / "heterofleet.io_heterogeneoustiers.yaml"
    edited.write_text(edited.read_text("utf-8").replace("maximum: 1000", "maximum: 2000"), "utf-8")
    changed = [line for line in generate.drift(tmp_path).splitlines() if line.startswith(("-  ", "+  "))]
    assert [line.split() for line in changed] == [["-", "maximum:", "2000"], ["+", "maximum:", "1000"]]


def test_the_charts_copy_differs_by_the_annotation_that_keeps_it_alone() -> None:
    for path in (ROOT / "crds").glob("*.yaml"):
        plain = yaml.safe_load(path.read_text("utf-8"))
        kept = yaml.safe_load((ROOT / "charts/heterofleet/files/crds" / path.name).read_text("utf-8"))
        assert kept["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
        assert kept == plain


PASSED_ON_WHOLE = (engine.EnvVar, placement.Toleration)


def test_no_field_is_accepted_and_ignored() -> None:
    package = ROOT / "operator" / "heterofleet"
    code = "\n".join(path.read_text("utf-8") for path in package.rglob("*.py") if path.parent != package / "api")
    unread = [
        f"{model.__name__}.{name}"
        for model in models(v1alpha1.FleetSpec)
        if model not in PASSED_ON_WHOLE
        for name in model.model_fields
        if not re.search(rf"\.{name}\b", code)
    ]
    assert unread == []
