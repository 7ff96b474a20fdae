"""What a Prometheus without its operator makes of pods: the targets and labels that PodMonitors give."""

import json
import urllib.request
from pathlib import Path

import pytest
import yaml

from heterofleet.api import labels
from heterofleet.desired import scraping
from heterofleet.desired.monitoring import meta_label
from testbed import prometheus
from testbed.eventually import eventually

ROOT = Path(__file__).resolve().parents[2]


def pod(address: str, name: str, port: str, phase: str = "Running", **of: str) -> dict[str, object]:
    """A target as the discovery of pods finds it; `of` are its labels, without their prefix."""
    known = {"fleet": labels.FLEET, "component": labels.COMPONENT, "tier": labels.TIER, "pool": labels.POOL}
    known |= {"instance": labels.INSTANCE, "index": labels.POD_INDEX}
    meta = {
        "__meta_kubernetes_namespace": "team-a",
        "__meta_kubernetes_pod_name": name,
        "__meta_kubernetes_pod_phase": phase,
        "__meta_kubernetes_pod_container_port_name": port,
        **{meta_label(known[label]): value for label, value in of.items()},
    }
    return {"targets": [address], "labels": meta}


LARGE = {"fleet": "f", "component": "engine", "tier": "large", "pool": "default", "instance": "3"}
SMALL = {"fleet": "f", "component": "engine", "tier": "small", "pool": "default"}
ROUTER = {"fleet": "f", "component": "router"}
PODS = [
    pod("127.0.0.1:1", "f-large-3-0", "http", index="0", **LARGE),
    pod("127.0.0.1:2", "f-large-3-1", "http", index="1", **LARGE),
    pod("127.0.0.1:3", "f-small-x", "http", **SMALL),
    pod("127.0.0.1:4", "f-small-y", "supervisor", **SMALL),
    pod("127.0.0.1:5", "f-small-z", "http", phase="Failed", **SMALL),
    pod("127.0.0.1:6", "f-router-x", "metrics", **ROUTER),
    pod("127.0.0.1:7", "f-router-x", "http", **ROUTER),
    pod("127.0.0.1:8", "someone", "http", component="engine"),
]


def test_leaders_small_pods_and_routers_are_targets_with_the_labels_of_their_fleet(tmp_path: Path):
    found = tmp_path / "pods.json"
    found.write_text(json.dumps(PODS), "utf-8")
    try:
        scrapes = scraping.jobs({"file_sd_configs": [{"files": [str(found)]}]})
        server = prometheus.PrometheusServer(tmp_path, scrapes=scrapes)
    except prometheus.MissingError:
        pytest.skip("Prometheus is missing")

    def targets() -> bool:
        with urllib.request.urlopen(f"{server.url}/api/v1/targets?state=active", timeout=5) as answer:
            active = json.load(answer)["data"]["activeTargets"]
        engine = {"job": "heterofleet-engines", "namespace": "team-a", "fleet": "f", "pool": "default"}
        assert {target["discoveredLabels"]["__address__"][-1]: target["labels"] for target in active} == {
            "1": {**engine, "tier": "large", "instance": "3"},
            "3": {**engine, "tier": "small", "instance": "f-small-x"},
            "6": {
                "job": "heterofleet-routers",
                "namespace": "team-a",
                "fleet": "f",
                "pod": "f-router-x",
                "instance": "127.0.0.1:6",
            },
        }
        return True

    with server:
        eventually(targets)


def test_the_jobs_are_shipped_as_they_stand_in_the_code():
    shipped = yaml.safe_load((ROOT / "manifests" / "prometheus" / "scrape.yaml").read_text("utf-8"))
    assert shipped == {"scrape_configs": scraping.jobs()}
