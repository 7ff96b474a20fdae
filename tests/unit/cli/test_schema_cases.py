"""`validate` refuses what admission refuses: the cases that the API server is held against, read from files."""

import pytest
import yaml

from cases import bounds, reading
from heterofleet.api import labels
from heterofleet.cli import schema, yamltext

CREATED = [case for case in reading.cases() if case.was is None and case.body["kind"] == labels.FLEET_KIND]


@pytest.mark.parametrize("case", CREATED, ids=lambda case: case.name)
def test_each_case_of_admission_is_judged_alike_offline(case: reading.Case) -> None:
    (document,) = yamltext.documents(yaml.safe_dump(case.body))
    found = schema.read(document.body).violations
    assert bool(found) is bool(case.refused), found
    if case.refused:
        places = [yamltext.dotted(violation.path) for violation in found]
        assert any(place.startswith(case.refused.at) for place in places), places


def test_each_bound_of_the_schema_is_kept_offline() -> None:
    fleet = reading.SMALLEST[labels.FLEET_KIND]
    wrong = [
        trial
        for trial in bounds.trials()
        if trial.beyond and not schema.read(reading.with_values(fleet, {trial.path: trial.value})).violations
    ]
    assert wrong == []
