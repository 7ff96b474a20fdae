"""Renders the autoscaler of a fleet's routers, where `router.instances.max` asks for one.

Routers are light and hold nothing but requests in flight: more of them come at once, doubling, while they leave one a
minute and only after five quiet minutes, since each has its streams to finish. What is measured is the router's own
container, so that sidecars neither hide its load nor need requests of their own.
"""

from typing import Final

from heterofleet.api.labels import Component, Manifest
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.desired import children, names

QUIET_SECONDS: Final = 300


def autoscaler(fleet: HeterogeneousDeployment, container: str) -> Manifest:
    """The HorizontalPodAutoscaler of the routers' Deployment, over the CPU of `container`."""
    instances = fleet.spec.router.instances
    name = names.router(fleet.metadata.name)
    target = {"type": "Utilization", "averageUtilization": instances.target_cpu_utilization}
    measured = {"name": "cpu", "container": container, "target": target}
    return {
        **children.child(
            fleet, children.AUTOSCALER, name, names.router_selector(fleet.metadata.name), Component.ROUTER
        ),
        "spec": {
            "scaleTargetRef": {
                "apiVersion": children.DEPLOYMENT.api_version,
                "kind": children.DEPLOYMENT.kind,
                "name": name,
            },
            "minReplicas": instances.min,
            "maxReplicas": instances.max,
            "metrics": [{"type": "ContainerResource", "containerResource": measured}],
            "behavior": {
                "scaleUp": {
                    "stabilizationWindowSeconds": 0,
                    "selectPolicy": "Max",
                    "policies": [
                        {"type": "Percent", "value": 100, "periodSeconds": 15},
                        {"type": "Pods", "value": 2, "periodSeconds": 15},
                    ],
                },
                "scaleDown": {
                    "stabilizationWindowSeconds": QUIET_SECONDS,
                    "selectPolicy": "Max",
                    "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
                },
            },
        },
    }
