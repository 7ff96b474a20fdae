"""The cases of tests/cases through the models; tests/cluster/test_admission.py runs them through the API server."""

import pytest

from cases.judging import KINDS, complaints, models
from cases.reading import Case, cases, with_values

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
