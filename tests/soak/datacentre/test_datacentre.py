"""A minute of what `make soak` does for twenty: one seed that has every kind of fault by then."""

import pytest

import soak.datacentre.run
from soak.datacentre.__main__ import FOLDER
from soak.judging import Kind

SEED = 28
SECONDS = 60.0
RATE = 25.0


@pytest.mark.timeout(500)
def test_whatever_happens_in_the_data_centre_no_invariant_is_broken(capsys: pytest.CaptureFixture[str]) -> None:
    report = soak.datacentre.run.run(SEED, SECONDS, RATE, FOLDER / "datacentre-test-logs")
    report.write(FOLDER / "datacentre-test.json")
    with capsys.disabled():
        print(f"soak of the data centre: seed {SEED}, {len(report.records)} asks, {report.faults}")
    assert report.violations == []
    assert len(report.done) == len(report.plan.machines) + len(report.plan.services)
    assert sum(record.kind is Kind.RIGHT for record in report.records) > len(report.records) / 2
