"""Has promtool evaluate the recording rules over series that a test writes down: minute by minute, on no clock."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from heterofleet.api.labels import Manifest
from testbed import prometheus

Expected = Mapping[str, float]
"""Values by the series' labels, such as `{class="act", fleet="f", namespace="a"}`."""


class Case(NamedTuple):
    """What each expression shall come to over some series, by the time at which it is asked."""

    series: Mapping[str, str]
    expected: Mapping[str, Mapping[str, Expected]]


def check(folder: Path, rules: Manifest, series: Mapping[str, str], at: str, expected: Mapping[str, Expected]) -> None:
    """Fails with promtool's words unless each expression has exactly the expected series at the time `at`."""
    check_all(folder, rules, [Case(series, {at: expected})])


def check_all(folder: Path, rules: Manifest, cases: Sequence[Case], *, every: str = "1m") -> None:
    """The same of many cases in one run, which share nothing but the rules; `every`: between two evaluations."""
    (folder / "rules.yml").write_text(yaml.safe_dump(rules), "utf-8")
    tests = {"rule_files": ["rules.yml"], "evaluation_interval": every, "tests": [_test(case) for case in cases]}
    (folder / "tests.yml").write_text(yaml.safe_dump(tests), "utf-8")
    command = [str(prometheus.promtool()), "test", "rules", "tests.yml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _test(case: Case) -> Manifest:
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "promql_expr_test": [
            {
                # Rates are sums of divisions; thousandths are what a person writes down.
                "expr": f"round({expression}, 0.001)",
                "eval_time": at,
                "exp_samples": [{"labels": labels, "value": value} for labels, value in values.items()],
            }
            for at, expected in case.expected.items()
            for expression, values in expected.items()
        ],
    }
