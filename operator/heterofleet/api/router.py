"""The routers of a fleet as their user writes them: their pods, their address, and what they do with requests.

Which of these fields shape a pod, and so roll the routers when they change, is decided by `desired.revision`.
"""

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from heterofleet.api.base import Annotations, Image, Model, Overlay, Rule
from heterofleet.api.policy import RouterPolicy
from heterofleet.api.tier import Resources


class ServiceType(StrEnum):
    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"


class RouterService(Model):
    """The Service in front of the routers: the fleet's address."""

    type: ServiceType = Field(
        ServiceType.CLUSTER_IP, description="Where the address is reachable: in the cluster, on its nodes, or outside."
    )
    port: int = Field(8080, ge=1, le=65_535, description="Port of the Service.")
    annotations: Annotations = Field(
        default_factory=dict, description="Annotations of the Service, as load balancers want them."
    )


class RouterInstances(Model):
    """How many routers run, and whether an autoscaler sets their number."""

    min: int = Field(
        2, ge=0, le=100, description="Fewest routers that run; 0 takes the fleet's address out of service."
    )
    max: int | None = Field(
        None,
        ge=0,
        le=100,
        description="Most routers. Above min it asks for a HorizontalPodAutoscaler; min of them run unless given.",
    )
    target_cpu_utilization: int = Field(
        70, ge=1, le=100, description="Per cent of the CPU that routers ask for at which the autoscaler aims."
    )

    RULES: ClassVar = (
        Rule(
            cel="!has(self.max) || self.min <= self.max",
            message="router.instances.min must not be above router.instances.max: lower min or raise max",
            holds=lambda i: i.max is None or i.min <= i.max,
        ),
    )

    @property
    def autoscaled(self) -> bool:
        """Whether an autoscaler sets the number; none can wake routers that are all out of service."""
        return self.max is not None and self.max > self.min > 0


class RouterSpec(RouterPolicy):
    """The routers: their pods, their address, and what they do with requests."""

    instances: RouterInstances = RouterInstances()
    image: Image | None = Field(None, description="Image of the router; the operator's default unless given.")
    resources: Resources = Resources()
    service: RouterService = RouterService()
    pod_template: Overlay | None = Field(
        None, description="Overlay of the routers' template (metadata and spec); it has the last word, as in a tier."
    )

    RULES: ClassVar = (
        *RouterPolicy.RULES,
        Rule(
            cel="!has(self.store.file)"
            " || (self.instances.min <= 1 && (!has(self.instances.max) || self.instances.max <= 1))",
            message="store.file is for one router: set router.instances.min: 1 and no max above it, or use store.redis",
            holds=lambda r: r.store.file is None or max(r.instances.min, r.instances.max or 0) <= 1,
        ),
        Rule(
            cel="!has(self.instances.max) || self.instances.min == 0 || self.instances.max <= self.instances.min"
            " || (has(self.resources.requests) && 'cpu' in self.resources.requests)"
            " || (has(self.resources.limits) && 'cpu' in self.resources.limits)",
            message="router.instances.max above min needs router.resources.requests.cpu: the autoscaler measures by it",
            holds=lambda r: not r.instances.autoscaled or "cpu" in {**r.resources.requests, **r.resources.limits},
        ),
    )
