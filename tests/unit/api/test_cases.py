"""The cases of tests/cases through the models; tests/cluster/test_admission.py runs them through the API server."""

from collections.abc import Iterator

import pytest

from cases import bounds
from cases.judging import KINDS, complaints, models
from cases.reading import SMALLEST, Case, cases, with_values
from heterofleet.api import crd, labels, v1alpha1

ALL = tuple(cases())


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_the_models_judge_as_the_case_says(case: Case) -> None:
    found = complaints(case.body, case.was)
    if case.refused is None:
        assert found == []
    else:
        refused = case.refused
        assert any(complaint.at == refused.at and refused.says in complaint.says for complaint in found), found


@pytest.mark.parametrize("case", [case for case in ALL if case.becomes], ids=lambda case: case.name)
def test_the_models_fill_in_the_defaults_that_the_case_names(case: Case) -> None:
    kind = KINDS[case.body["kind"]]
    assert kind.parse(with_values(case.body, case.becomes)).spec == kind.parse(case.body).spec


def test_every_rule_and_transition_has_a_case_that_breaks_it() -> None:
    said = "\n".join(
        complaint.says for case in ALL if case.refused is not None for complaint in complaints(case.body, case.was)
    )
    messages = {
        message
        for kind in KINDS.values()
        for model in models(kind)
        for message in (*(rule.message for rule in model.RULES), *(change.message for change in model.TRANSITIONS))
    }
    assert {message for message in messages if message not in said} == set()


def test_no_two_cases_have_one_name() -> None:
    names = [case.name for case in ALL]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize(
    "bound", ["minimum", "maximum", "minLength", "maxLength", "pattern", "enum", "maxItems", "maxProperties"]
)
def test_each_bound_of_the_schema_is_tried_beyond_its_edge(bound: str) -> None:
    # A quantity's minimum is for numbers alone; it has a case of its own.
    spec = crd.structural_schema(v1alpha1.FleetSpec)
    bounded = [schema for schema in _schemas(spec) if bound in schema and (bound != "minimum" or "type" in schema)]
    tried = {(trial.path, trial.why) for trial in bounds.trials() if trial.beyond and trial.why.endswith(bound)}
    assert len(tried) == len(bounded) > 0


def _schemas(schema: bounds.Schema) -> Iterator[bounds.Schema]:
    yield schema
    inner = (schema[key] for key in ("items", "additionalProperties") if key in schema)
    for child in (*schema.get("properties", {}).values(), *inner):
        yield from _schemas(child)


def test_the_models_refuse_every_value_beyond_its_edge_and_say_where() -> None:
    smallest = SMALLEST[labels.FLEET_KIND]
    missed = [
        trial
        for trial in bounds.trials()
        if trial.beyond
        and not any(
            complaint.at.startswith(trial.path)
            for complaint in complaints(with_values(smallest, {trial.path: trial.value}))
        )
    ]
    assert missed == []
