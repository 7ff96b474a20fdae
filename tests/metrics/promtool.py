"""Has promtool evaluate the recording rules over series that a test writes down: minute by minute, on no clock."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import yaml

from heterofleet.api.labels import Manifest
from testbed import prometheus

Expected = Mapping[str, float]
"""Values by the series' labels, such as `{class="act", fleet="f", namespace="a"}`."""


def check(folder: Path, rules: Manifest, series: Mapping[str, str], at: str, expected: Mapping[str, Expected]) -> None:
    """Fails with promtool's words unless each expression has exactly the expected series at the time `at`."""
    (folder / "rules.yml").write_text(yaml.safe_dump(rules), "utf-8")
    tests = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [
                    {
                        # Rates are sums of divisions; thousandths are what a person writes down.
                        "expr": f"round({expression}, 0.001)",
                        "eval_time": at,
                        "exp_samples": [{"labels": labels, "value": value} for labels, value in values.items()],
                    }
                    for expression, values in expected.items()
                ],
            }
        ],
    }
    (folder / "tests.yml").write_text(yaml.safe_dump(tests), "utf-8")
    command = [str(prometheus.promtool()), "test", "rules", "tests.yml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
