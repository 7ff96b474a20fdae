"""Half a minute of what `make soak-router` does for ten: one seed, real processes, faults of every kind."""

from pathlib import Path

import pytest

import soak.run
from soak.__main__ import FOLDER
from soak.judging import Kind

SEED = 1
SECONDS = 30.0
RATE = 30.0


@pytest.mark.timeout(300)
def test_whatever_happens_to_engines_and_routers_clients_see_no_failure_that_policy_does_not_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = soak.run.run(SEED, SECONDS, RATE, FOLDER / "test")
    report.write(FOLDER / "test.json")
    with capsys.disabled():
        print(f"soak of the router: seed {SEED}, {len(report.records)} asks, {report.named} named failures")
    assert report.violations == []
    assert sum(record.kind is Kind.RIGHT for record in report.records) > len(report.records) / 2
    # A router that comes back late, as on a loaded machine, misses its next fault: one of both is enough.
    assert report.faults["terminated"] or report.faults["router killed"]


def test_a_report_lies_in_the_build_folder() -> None:
    assert FOLDER.parts[-2:] == ("build", "soak")
    assert (Path(FOLDER).parents[1] / "pyproject.toml").is_file()
