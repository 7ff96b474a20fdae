"""The alerts, evaluated by promtool over what is recorded and told: each fires, and ends when its cause has ended."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml

from heterofleet.api.conditions import ConditionType, Reason
from heterofleet.metrics import alerts, burn, ratios, rules, shipped
from metrics import promtool
from metrics.promtool import Case
from testbed import prometheus

O = "heterofleet_operator_"  # noqa: E741  the prefix of the operator, as R is that of routers
FLEET = 'fleet="f",namespace="a"'
TIER = f'{FLEET},tier="small"'
MINUTES = 90
"""Minutes of each case: its cause ends in the middle."""


def lasting(first: float, then: float, minutes: int = MINUTES) -> str:
    """One value for the first minutes and another for as many."""
    return f"{first:g}x{minutes} {then:g}x{minutes}"


def gauge(name: str, more: str = "", of: str = FLEET) -> str:
    return f"{O}{name}{{{of}{more}}}"


def recorded(name: str, of: str = FLEET) -> str:
    return f"{name}{{{of}}}"


def fires(
    alert: str,
    series: Mapping[str, str],
    *,
    severity: str = "warning",
    at: tuple[str, str] = ("89m", "178m"),
    **labels: str,
) -> Case:
    """It fires while the cause is there, with these labels and no others, and not at the second time."""
    of = {"alertname": alert, "alertstate": "firing", "fleet": "f", "namespace": "a", "severity": severity, **labels}
    said = "{" + ", ".join(f'{name}="{value}"' for name, value in sorted(of.items())) + "}"
    firing = f'ALERTS{{alertname="{alert}",alertstate="firing",fleet="f"}}'
    return Case(series, {at[0]: {firing: {said: 1}}, at[1]: {firing: {}}})


def burning(alert: str, ratio: str, severity: str, pair: burn.Pair, of: str, **labels: str) -> Case:
    """Both windows burn; then the short one burns no more, and the long one still does."""
    share = 1.1 * pair.factor * 0.01
    series = {
        recorded(ratios.ERROR_BUDGET, TIER): lasting(0.01, 0.01),
        recorded(f"{ratio}{pair.long}", of): lasting(share, share),
        recorded(f"{ratio}{pair.short}", of): lasting(share, 0),
    }
    return fires(alert, series, severity=severity, **labels)


def amiss(alert: str, condition: ConditionType, reason: Reason, severity: str = "warning") -> Case:
    series = {gauge("condition_amiss", f',condition="{condition}",reason="{reason}"'): f"1x{MINUTES} stale"}
    return fires(alert, series, severity=severity, reason=reason)


def instances(ready: str, starting: str) -> dict[str, str]:
    return {
        gauge("instances", ',tier="small",state="Ready"'): ready,
        gauge("instances", ',tier="small",state="Starting"'): starting,
    }


BURNS = [
    burning(name, ratio, severity, pair, of, **labels)
    for name, ratio, of, labels in (
        ("HeterofleetFirstTokensLate", ratios.FIRST_LATE, TIER, {"tier": "small"}),
        ("HeterofleetTokensLate", ratios.NEXT_LATE, TIER, {"tier": "small"}),
        ("HeterofleetRequestsFailing", ratios.FAILED, FLEET, {}),
    )
    for severity, pairs in burn.PAIRS.items()
    for pair in pairs
]
ROUTERS = {recorded(rules.ROUTERS): lasting(2, 2)}
SERVING = recorded(ratios.ENDPOINTS, TIER)
BREAKER = 'heterofleet_router_breaker_open{fleet="f",namespace="a",tier="small",endpoint="127.0.0.1:1",pod="%s"}'
BUDGET = {gauge("budget_usd_per_day"): lasting(240, 240)}
STARTS = f'process_start_time_seconds{{{FLEET},tier="large",instance="0"}}'
DRAIN = {gauge("last_drain_aborted"): lasting(1, 1), gauge("last_drain_timestamp_seconds"): lasting(0, 0)}
CASES = [
    *BURNS,
    fires("HeterofleetMoneyBurn", {recorded(rules.COST): lasting(11, 9), **BUDGET}),
    fires("HeterofleetBudgetSpent", {recorded(rules.SPENT): lasting(240, 239), **BUDGET}, severity="critical"),
    fires(
        "HeterofleetEscalationStorm",
        {recorded(f"{ratios.ESCALATION_RATE}5m", f'{FLEET},class="act"'): lasting(0.4, 0.2)},
        **{"class": "act"},
    ),
    # All engines leave their endpoints; they are there again; they fail every request of every router.
    fires(
        "HeterofleetTierDead",
        {**ROUTERS, **instances(lasting(1, 1), lasting(1, 1)), SERVING: f"2x40 _x{MINUTES - 41} 2x{MINUTES}"},
        severity="critical",
        tier="small",
    ),
    fires(
        "HeterofleetTierDead",
        {
            **ROUTERS,
            **instances(lasting(2, 2), lasting(0, 0)),
            SERVING: lasting(2, 2),
            BREAKER % "r1": lasting(1, 0),
            BREAKER % "r2": lasting(1, 1),
        },
        severity="critical",
        tier="small",
    ),
    fires("HeterofleetGroupRestarting", {STARTS: "1x5 2x5 3x5 4x200"}, at=("30m", "178m"), tier="large", instance="0"),
    fires("HeterofleetTierNotReady", instances(lasting(0, 1), lasting(2, 1)), severity="critical", tier="small"),
    fires("HeterofleetUnwatched", instances("1x40 _x60 1x100", "0x40 _x60 0x100")),
    fires(
        "HeterofleetPlanStuck",
        {gauge("desired_instances", ',tier="small"'): lasting(3, 3), **instances(lasting(2, 3), lasting(1, 0))},
        tier="small",
    ),
    fires(
        "HeterofleetPlanHeld",
        {
            gauge("plan_bound", ',tier="small",reason="GpuBudget"'): lasting(1, 1),
            gauge("needed_instances", ',tier="small"'): lasting(4, 2),
            gauge("planned_instances", ',tier="small"'): lasting(2, 2),
        },
        tier="small",
        reason="GpuBudget",
    ),
    amiss("HeterofleetMetricsLost", ConditionType.METRICS_AVAILABLE, Reason.METRICS_LOST),
    amiss("HeterofleetStalled", ConditionType.STALLED, Reason.OPERATOR_ERROR),
    fires("HeterofleetDrainAborted", DRAIN, at=("50m", "70m")),
    amiss("HeterofleetUpdateAvailable", ConditionType.UPDATE_AVAILABLE, Reason.TEMPLATE_DIFFERS, "info"),
]

QUIET = [
    # What is bounded by a person's choice and needs nothing, what is not configured, and what has no budget.
    Case(
        {
            gauge("condition_amiss", ',condition="MetricsAvailable",reason="MetricsNotConfigured"'): lasting(1, 1),
            gauge("plan_bound", ',tier="small",reason="Stabilization"'): lasting(1, 1),
            gauge("needed_instances", ',tier="small"'): lasting(4, 4),
            gauge("planned_instances", ',tier="small"'): lasting(2, 2),
            recorded(rules.COST): lasting(1000, 1000),
            # A tier at zero has no engine, and its router is well.
            **ROUTERS,
            **{gauge("instances", f',tier="large",state="{state}"'): lasting(0, 0) for state in ("Ready", "Starting")},
            recorded(ratios.ENDPOINTS, f'{FLEET},tier="large"'): f"1x40 _x{MINUTES}",
        },
        {"89m": {'ALERTS{fleet="f"}': {}}},
    ),
    # In mode Advisory no bound holds anything: the plan is only said.
    Case(
        {
            gauge("plan_advised"): lasting(1, 1),
            gauge("plan_bound", ',tier="small",reason="GpuBudget"'): lasting(1, 1),
            gauge("needed_instances", ',tier="small"'): lasting(4, 4),
            gauge("planned_instances", ',tier="small"'): lasting(2, 2),
        },
        {"89m": {'ALERTS{fleet="f"}': {}}},
    ),
]


def beside_each_other(cases: Sequence[Case]) -> Case:
    """One case of as many fleets: promtool evaluates all rules once for all, and fleets must not mix."""
    series: dict[str, str] = {}
    expected: dict[str, dict[str, promtool.Expected]] = {}
    for number, case in enumerate(cases):
        own = f'fleet="f{number}"'
        series |= {name.replace('fleet="f"', own): values for name, values in case.series.items()}
        for at, told in case.expected.items():
            for asked, values in told.items():
                found = {labels.replace('fleet="f"', own): value for labels, value in values.items()}
                expected.setdefault(at, {})[asked.replace('fleet="f"', own)] = found
    return Case(series, expected)


pytestmark = pytest.mark.usefixtures("needs_promtool")


def test_every_alert_fires_for_its_cause_and_ends_with_it(tmp_path: Path):
    promtool.check_all(tmp_path, shipped.alerting(), [beside_each_other(CASES + QUIET)], every="5m")


def test_every_alert_has_a_case_of_each_severity():
    said = [label for case in CASES for told in case.expected.values() for of in told.values() for label in of]
    tried = {tuple(re.findall(r'(?:alertname|severity)="(\w+)"', labels)) for labels in said}
    assert tried == {(alert.name, alert.severity) for alert in alerts.every()}


def test_promtool_finds_every_rule_and_every_annotation_well_formed():
    folder = Path(__file__).resolve().parents[2] / "manifests" / "prometheus"
    command = [str(prometheus.promtool()), "check", "rules", str(folder / "rules.yaml"), str(folder / "alerts.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert yaml.safe_load((folder / "alerts.yaml").read_text("utf-8")) == shipped.alerting()
