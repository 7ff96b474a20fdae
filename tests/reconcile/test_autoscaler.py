"""A real HorizontalPodAutoscaler, reading a served custom-metrics API, sets the count of a tier (writer External)."""

from collections.abc import Iterator

import pytest

from heterofleet.api import labels
from reconcile.operator import Operator
from reconcile.site import Site
from testbed.controlplane import Cluster, Manifest
from testbed.custommetrics import CustomMetrics

METRIC = "queue_requests"
WITHIN_SECONDS = 120
"""The autoscaler looks every 15 seconds."""


@pytest.fixture
def served(fleet_cluster: Cluster) -> Iterator[CustomMetrics]:
    with CustomMetrics(fleet_cluster) as running:
        running.values["chat-small", METRIC] = 10
        yield running


def autoscaler(site: Site, tier: str) -> Manifest:
    """Ten waiting requests for each instance, up and down at once."""
    target = {"apiVersion": labels.API_VERSION, "kind": labels.TIER_KIND, "name": f"chat-{tier}"}
    at_once = {"stabilizationWindowSeconds": 0}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": f"chat-{tier}", "namespace": site.namespace},
        "spec": {
            "scaleTargetRef": target,
            "minReplicas": 1,
            "maxReplicas": 6,
            "behavior": {"scaleUp": at_once, "scaleDown": at_once},
            "metrics": [
                {
                    "type": "Object",
                    "object": {
                        "describedObject": target,
                        "metric": {"name": METRIC},
                        "target": {"type": "AverageValue", "averageValue": "10"},
                    },
                }
            ],
        },
    }


def test_an_autoscaler_sets_an_external_tier_and_the_operator_makes_its_instances(
    ready, operator: Operator, served: CustomMetrics
):
    site: Site = ready(small={"instances": {"min": 1, "max": 4}}, scaling={"small": {"writer": "External"}})
    site.cluster.api.create(site.path("horizontalpodautoscalers", group="autoscaling/v2"), autoscaler(site, "small"))
    served.values["chat-small", METRIC] = 30
    site.eventually(lambda: site.status()["small"]["summary"] == "3/3", WITHIN_SECONDS)
    assert site.status()["small"].get("override") is None, "under External a count is nobody's override"

    served.values["chat-small", METRIC] = 90
    site.eventually(lambda: site.get(labels.TIER_PLURAL, "chat-small")["spec"]["instances"] == 6, WITHIN_SECONDS)
    site.eventually(lambda: site.status()["small"]["summary"] == "4/4")
    assert site.condition("ScalingLimited")[:2] == ("True", "AboveMax")
