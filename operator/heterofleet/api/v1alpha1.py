"""HeterogeneousDeployment and HeterogeneousTier, version v1alpha1: the single source of the CRDs and the reference.

A fleet is parsed once, at the edge, into these models; everything behind works on them.
"""

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints

from heterofleet.api.base import DNS_LABEL, Labels, Model, Overlay, Rule, ShortText
from heterofleet.api.conditions import FleetStatus
from heterofleet.api.labels import FleetKey, Manifest, Tier
from heterofleet.api.tier import Resources, TierSpec

NAME_LENGTH = 40
"""Longest name of a fleet: its StatefulSets' names must stay <= 52 characters (contracts.md)."""


class ServiceType(StrEnum):
    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"


class RouterService(Model):
    """The Service in front of the routers: the fleet's address."""

    type: ServiceType = ServiceType.CLUSTER_IP
    port: int = Field(8080, ge=1, le=65_535)
    annotations: Labels = Field(default_factory=dict)


class RouterInstances(Model):
    min: int = Field(2, ge=0, le=100)


class RouterSpec(Model):
    """The router's pods and their address."""

    instances: RouterInstances = RouterInstances()
    image: ShortText | None = Field(None, description="The operator's default router image unless given.")
    resources: Resources = Resources()
    service: RouterService = RouterService()
    pod_template: Overlay | None = Field(None, description="A strategic overlay of the pods' template.")


class Writer(StrEnum):
    """Who sets a tier's count: the operator's plan, or something else through /scale."""

    PLANNER = "Planner"
    EXTERNAL = "External"


class TierScaling(Model):
    writer: Writer = Writer.PLANNER


class Scaling(Model):
    """Bounds and writers of the counts."""

    gpu_budget: int | None = Field(None, ge=0, le=100_000, description="GPUs that the fleet's pods may hold together.")
    large: TierScaling = TierScaling()
    small: TierScaling = TierScaling()
    override_seconds: int = Field(3600, ge=0, le=604_800, description="How long a count set by hand is kept.")

    def writer(self, tier: Tier) -> Writer:
        return self.large.writer if tier is Tier.LARGE else self.small.writer


class Rollout(Model):
    allow_outage: bool = Field(False, description="May a roll take a tier's last instance away?")


class Monitoring(Model):
    """Objects for the Prometheus operator, made where its APIs exist."""

    pod_monitor: bool = True
    prometheus_rule: bool = True
    labels: Labels = Field(default_factory=dict, description="Labels of both objects, for Prometheus' selectors.")


class FleetSpec(Model):
    """A fleet: a large tier that plans, a small tier that executes, the router between them."""

    large: TierSpec
    small: TierSpec
    router: RouterSpec = RouterSpec()
    scaling: Scaling = Scaling()
    rollout: Rollout = Rollout()
    monitoring: Monitoring = Monitoring()
    suspend: bool = Field(False, description="Stops all writes but status.")

    RULES: ClassVar = (
        Rule(
            cel="self.small.parallelism.pipeline == 1",
            message="small.parallelism.pipeline must be 1: a small instance is one pod",
            holds=lambda s: s.small.parallelism.pipeline == 1,
        ),
        Rule(
            cel="self.small.parallelism.tensor * self.small.parallelism.data <= self.small.placement.gpusPerNode"
            " && (!has(self.small.parallelism.gpusPerPod) || self.small.parallelism.gpusPerPod =="
            " self.small.parallelism.tensor * self.small.parallelism.pipeline * self.small.parallelism.data)",
            message="a small instance is one pod: small tensor x data must not be above small.placement.gpusPerNode,"
            " and gpusPerPod, if set, is that product",
            holds=lambda s: (
                s.small.parallelism.tensor * s.small.parallelism.data <= s.small.placement.gpus_per_node
                and s.small.parallelism.gpus_per_pod in (None, s.small.parallelism.world)
            ),
        ),
        Rule(
            cel="!has(self.large.model.servedName) || !has(self.small.model.servedName)"
            " || self.large.model.servedName != self.small.model.servedName",
            message="the tiers' servedName must differ: clients choose a tier by it",
            holds=lambda s: s.large.model.served_name is None or s.large.model.served_name != s.small.model.served_name,
        ),
    )

    def tier(self, tier: Tier) -> TierSpec:
        return self.large if tier is Tier.LARGE else self.small


class Metadata(Model):
    """The part of an object's metadata that we read."""

    model_config = ConfigDict(extra="ignore")

    name: Annotated[str, StringConstraints(pattern=DNS_LABEL, max_length=NAME_LENGTH)]
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    annotations: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)


class HeterogeneousDeployment(Model):
    """One fleet."""

    api_version: Literal["heterofleet.io/v1alpha1"] = "heterofleet.io/v1alpha1"
    kind: Literal["HeterogeneousDeployment"] = "HeterogeneousDeployment"
    metadata: Metadata
    spec: FleetSpec
    status: FleetStatus = FleetStatus()

    @classmethod
    def parse(cls, body: Manifest) -> Self:
        """The fleet that `body` describes.

        Raises pydantic.ValidationError, whose messages say what to write instead.
        """
        return cls.model_validate(body)

    @property
    def key(self) -> FleetKey:
        return FleetKey(self.metadata.namespace, self.metadata.name)

    def served_name(self, tier: Tier) -> str:
        """The name under which clients ask for a tier."""
        return self.spec.tier(tier).model.served_name or f"{self.metadata.name}-{tier}"


class TierObjectSpec(Model):
    """The count of one tier; written by the operator's plan, `kubectl scale`, an HPA or KEDA."""

    tier: Tier
    instances: int = Field(ge=0, le=1000)


class TierObjectStatus(Model):
    """What /scale reports: instances that exist, and a selector of one pod an instance."""

    model_config = ConfigDict(extra="ignore")

    instances: int = 0
    ready: int = 0
    selector: str = ""
    observed_generation: int = 0


class HeterogeneousTier(Model):
    """One tier of a fleet as an object that can be scaled; owned by its fleet."""

    api_version: Literal["heterofleet.io/v1alpha1"] = "heterofleet.io/v1alpha1"
    kind: Literal["HeterogeneousTier"] = "HeterogeneousTier"
    metadata: dict[str, Any]
    spec: TierObjectSpec
    status: TierObjectStatus = TierObjectStatus()
