"""What Prometheus is told: targets, labels of series, and alerts that fire when they should and not else."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from heterofleet.api.labels import Manifest
from heterofleet.desired import alerts, monitoring
from testbed import debian, exchanges
from unit.desired import fleets

SERVED = replace(fleets.PLATFORM, pod_monitors=True, prometheus_rules=True)
SERIES = 'namespace="ai",fleet="chat"'


@pytest.mark.parametrize(
    ("served", "asked", "names"),
    [
        ({}, {}, []),
        ({"pod_monitors": True}, {}, ["chat-engines", "chat-router"]),
        ({"prometheus_rules": True}, {}, ["chat"]),
        ({"pod_monitors": True, "prometheus_rules": True}, {"podMonitor": False, "prometheusRule": False}, []),
    ],
)
def test_objects_are_made_where_they_are_asked_for_and_served(
    served: dict[str, Any], asked: Manifest, names: list[str]
) -> None:
    found = monitoring.objects(fleets.fleet(monitoring=asked), replace(fleets.PLATFORM, **served))
    assert [item["metadata"]["name"] for item in found] == names


def test_the_users_labels_let_prometheus_find_the_objects_and_cannot_replace_ours() -> None:
    mine = {"release": "prometheus", "heterofleet.io/fleet": "other"}
    for item in monitoring.objects(fleets.fleet(monitoring={"labels": mine}), SERVED):
        labels = item["metadata"]["labels"]
        assert (labels["release"], labels["heterofleet.io/fleet"]) == ("prometheus", "chat")


def test_alerts_read_series_that_vllm_has() -> None:
    text = str(monitoring.objects(fleets.fleet(), SERVED))
    named = set(re.findall(r"vllm:\w+", text))
    assert named == {"vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:generation_tokens_total"}
    assert named <= exchanges.recorded_families().keys()


@pytest.mark.parametrize(
    ("pod", "series"),
    [
        (
            {"name": "chat-large-3-0", "tier": "large", "instance": "3", "pod_index": "0"},
            {"namespace": "ai", "fleet": "chat", "tier": "large", "pool": "default", "instance": "3"},
        ),
        ({"name": "chat-large-3-1", "tier": "large", "instance": "3", "pod_index": "1"}, None),
        (
            {"name": "chat-small-x", "tier": "small"},
            {"namespace": "ai", "fleet": "chat", "tier": "small", "pool": "default", "instance": "chat-small-x"},
        ),
    ],
)
def test_series_are_labelled_by_instance_and_only_leaders_are_targets(
    pod: dict[str, str], series: dict[str, str] | None
) -> None:
    found = {
        "__meta_kubernetes_namespace": "ai",
        "__meta_kubernetes_pod_name": pod["name"],
        "__meta_kubernetes_pod_label_heterofleet_io_fleet": "chat",
        "__meta_kubernetes_pod_label_heterofleet_io_pool": "default",
        "__meta_kubernetes_pod_label_heterofleet_io_tier": pod["tier"],
    }
    if "instance" in pod:
        found["__meta_kubernetes_pod_label_heterofleet_io_instance"] = pod["instance"]
        found["__meta_kubernetes_pod_label_apps_kubernetes_io_pod_index"] = pod["pod_index"]
    assert relabelled(found, monitoring.relabelings()) == series


def relabelled(target: dict[str, str], rules: list[Manifest]) -> dict[str, str] | None:
    """What Prometheus' relabelling makes of a target, in the two actions that are used; None if it is dropped."""
    labels = dict(target)
    for rule in rules:
        value = ";".join(labels.get(name, "") for name in rule["sourceLabels"])
        matched = re.fullmatch(rule.get("regex", "(.*)"), value)
        if rule["action"] == "keep" and not matched:
            return None
        if rule["action"] == "replace" and matched:
            labels[rule["targetLabel"]] = matched.group(1)
    return {name: value for name, value in labels.items() if not name.startswith("__")}


def instances(state: str, values: str) -> Manifest:
    return {"series": f'heterofleet_operator_instances{{{SERIES},tier="large",state="{state}"}}', "values": values}


def fires(alert: str, at: str, *series: Manifest, **labels: str) -> Manifest:
    """A promtool test: at a time, `alert` fires with `labels`, or not at all without any."""
    described = next(rule for rule in alerts.rules(fleets.fleet()) if rule.get("alert") == alert)
    expected: list[Manifest] = []
    if labels:
        own = {"namespace": "ai", "fleet": "chat", **labels}
        expected = [{"exp_labels": own, "exp_annotations": filled(described["annotations"], own)}]
    return {
        "interval": "1m",
        "input_series": list(series),
        "alert_rule_test": [{"eval_time": at, "alertname": alert, "exp_alerts": expected}],
    }


def filled(annotations: dict[str, str], labels: dict[str, str]) -> dict[str, str]:
    values = {f"{{{{ $labels.{name} }}}}": value for name, value in labels.items()} | {"{{ $value }}": "3"}
    result = {}
    for name, text in annotations.items():
        for mark, value in values.items():
            text = text.replace(mark, value)  # noqa: PLW2901 (each mark in turn)
        result[name] = text
    return result


STARTS = f'process_start_time_seconds{{{SERIES},tier="large",instance="0"}}'
CASES = [
    fires(
        "HeterofleetGroupRestarting",
        "30m",
        {"series": STARTS, "values": "1x5 2x5 3x5 4x20"},
        tier="large",
        instance="0",
        severity="warning",
    ),
    fires("HeterofleetGroupRestarting", "30m", {"series": STARTS, "values": "1x5 2x5 3x30"}),
    fires(
        "HeterofleetTierNotReady",
        "20m",
        instances("Ready", "0x30"),
        instances("Starting", "1x30"),
        tier="large",
        severity="critical",
    ),
    fires("HeterofleetTierNotReady", "20m", instances("Ready", "1x30"), instances("Starting", "1x30")),
    fires("HeterofleetTierNotReady", "20m", instances("Ready", "0x30"), instances("Starting", "0x30")),
    fires("HeterofleetUnwatched", "40m", instances("Ready", "1x10"), severity="warning"),
    fires("HeterofleetUnwatched", "40m", instances("Ready", "1x60")),
    fires("HeterofleetUnwatched", "40m"),
]


def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    promtool = debian.tool("promtool")
    if promtool is None:
        pytest.skip("promtool cannot be had here")
    rules: Any = {"groups": [{"name": "chat", "rules": alerts.rules(fleets.fleet())}]}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": CASES}))
    done = subprocess.run(
        [promtool, "test", "rules", "tests.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
