"""HeterogeneousDeployment and HeterogeneousTier, version v1alpha1: the single source of the CRDs and the reference.

A fleet is parsed once, at the edge, into these models; everything behind works on them.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar, Literal, Self, TypeVar

from pydantic import AfterValidator, ConfigDict, Field

from heterofleet.api.base import Labels, Model, ObjectName, Rule
from heterofleet.api.conditions import FleetStatus
from heterofleet.api.labels import FleetKey, Manifest, Tier
from heterofleet.api.placement import Placement
from heterofleet.api.router import RouterSpec
from heterofleet.api.scaling import Budget, Mode, Scaling
from heterofleet.api.tier import Lifecycle, TierSpec

NAME_LENGTH = 40
"""Longest name of a fleet: its StatefulSets' names must stay <= 52 characters (contracts.md)."""


class Rollout(Model):
    """What a roll to a new revision may do."""

    allow_outage: bool = Field(
        False,
        description="Let a roll take a tier's last instance away before its successor runs, where there are no spare"
        " GPUs for both.",
    )


class EngineKeys(Model):
    """The keys between routers and engines."""

    secret: ObjectName = Field(
        description="Secret of the ring: each entry is one key. Routers send the entry `current`, read live; an engine"
        " accepts every entry that was there when it started, so that `next` can become `current` before engines roll.",
    )
    enforced: bool = Field(
        True,
        description="Engines refuse who sends no key of the ring. False: routers send one and engines ask for none, the"
        " step between a fleet without keys and one with them.",
    )


class Monitoring(Model):
    """Objects for the Prometheus operator, made where its APIs exist."""

    pod_monitor: bool = Field(True, description="Make a PodMonitor, where that API exists.")
    prometheus_rule: bool = Field(True, description="Make a PrometheusRule, where that API exists.")
    labels: Labels = Field(default_factory=dict, description="Labels of both objects, for Prometheus' selectors.")


_OF_GROUPS: Mapping[str, tuple[int, Callable[[TierSpec], int]]] = {
    "lifecycle.maxGroupRestarts": (Lifecycle().max_group_restarts, lambda tier: tier.lifecycle.max_group_restarts),
    "lifecycle.restartResetSeconds": (
        Lifecycle().restart_reset_seconds,
        lambda tier: tier.lifecycle.restart_reset_seconds,
    ),
    "lifecycle.maxEvacuating": (Lifecycle().max_evacuating, lambda tier: tier.lifecycle.max_evacuating),
    "lifecycle.evacuateAfterSeconds": (
        Lifecycle().evacuate_after_seconds,
        lambda tier: tier.lifecycle.evacuate_after_seconds,
    ),
    "placement.gangTimeoutSeconds": (
        Placement().gang_timeout_seconds,
        lambda tier: tier.placement.gang_timeout_seconds,
    ),
}
"""What has no meaning for instances of one pod: its default, and where it stands.

The server fills in defaults before it asks the rules, so that the default is all that can be allowed.
"""


class FleetSpec(Model):
    """A fleet: a large tier that plans, a small tier that executes, the router between them."""

    mode: Mode = Field(
        Mode.ENFORCE, description="Enforce: the plan sets the counts. Advisory: it is published and touches no count."
    )
    large: TierSpec
    small: TierSpec
    router: RouterSpec = RouterSpec()
    engine_keys: EngineKeys | None = Field(
        None,
        description="Keys between routers and engines; engines take requests from whoever reaches them unless given.",
    )
    scaling: Scaling = Scaling()
    budget: Budget = Budget()
    rollout: Rollout = Rollout()
    monitoring: Monitoring = Monitoring()
    suspend: bool = Field(
        False, description="Stop all writes to the fleet's objects; what runs goes on, and status is still told."
    )

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
        Rule(
            cel=" && ".join(f"self.small.{path} == {default}" for path, (default, _) in _OF_GROUPS.items()),
            message=f"{', '.join(_OF_GROUPS)} are about groups of pods: remove them from small",
            holds=lambda s: all(value(s.small) == default for default, value in _OF_GROUPS.values()),
        ),
        Rule(
            cel="!has(self.budget.usdPerDay) || (has(self.large.price) && has(self.large.price.usdPerGpuHour)"
            " && has(self.small.price) && has(self.small.price.usdPerGpuHour))",
            message="budget.usdPerDay counts money: set price.usdPerGpuHour of both tiers",
            holds=lambda s: (
                s.budget.usd_per_day is None
                or all(t.price is not None and t.price.usd_per_gpu_hour is not None for t in (s.large, s.small))
            ),
        ),
    )

    def tier(self, tier: Tier) -> TierSpec:
        return self.large if tier is Tier.LARGE else self.small


class Metadata(Model):
    """The part of an object's metadata that we read."""

    model_config = ConfigDict(extra="ignore")

    name: str
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    annotations: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)


_DNS_LABEL = "^[a-z]([-a-z0-9]*[a-z0-9])?$"
NAME_MESSAGE = (
    f"a fleet's name has at most {NAME_LENGTH} characters, begins with a letter, ends with a letter or digit,"
    " and holds only lower-case letters, digits and '-'"
)


def is_fleet_name(name: str) -> bool:
    return len(name) <= NAME_LENGTH and re.fullmatch(_DNS_LABEL, name) is not None


def _fleet_name(name: str) -> str:
    """Refuse a name where it stands; the rule of the whole object would point at its beginning."""
    if not is_fleet_name(name):
        raise ValueError(NAME_MESSAGE)
    return name


_Kind = TypeVar("_Kind", bound=Model)


def _strictly(kind: type[_Kind], body: Manifest) -> _Kind:
    """What people wrote, by the API server's rules; the status, which the operator wrote, is not read."""
    written = {key: value for key, value in body.items() if key != "status"}
    # Only from JSON does pydantic take texts for enums and still refuse "8" for a number.
    return kind.model_validate_json(json.dumps(written), strict=True, by_alias=True, by_name=False)


class FleetMetadata(Metadata):
    """A fleet's metadata: the names of its children are made of its name."""

    name: Annotated[str, AfterValidator(_fleet_name)]


class HeterogeneousDeployment(Model):
    """A fleet: a large-model tier that plans, a small-model tier that executes, and the router between them."""

    api_version: Literal["heterofleet.io/v1alpha1"] = "heterofleet.io/v1alpha1"
    kind: Literal["HeterogeneousDeployment"] = "HeterogeneousDeployment"
    metadata: FleetMetadata
    spec: FleetSpec
    status: FleetStatus = FleetStatus()

    RULES: ClassVar = (
        Rule(
            cel=f"self.metadata.name.size() <= {NAME_LENGTH} && self.metadata.name.matches('{_DNS_LABEL}')",
            message=NAME_MESSAGE,
            holds=lambda d: is_fleet_name(d.metadata.name),
            field="metadata.name",
        ),
    )

    @classmethod
    def parse(cls, body: Manifest) -> Self:
        """The fleet that `body` describes, read as the API server reads it: by JSON's types and camelCase keys.

        Raises pydantic.ValidationError, whose messages say what to write instead.
        """
        fleet = _strictly(cls, body)
        return fleet.model_copy(update={"status": FleetStatus.model_validate(body.get("status") or {})})

    @property
    def key(self) -> FleetKey:
        return FleetKey(self.metadata.namespace, self.metadata.name)

    def served_name(self, tier: Tier) -> str:
        """The name under which clients ask for a tier."""
        return self.spec.tier(tier).model.served_name or f"{self.metadata.name}-{tier}"


class TierObjectSpec(Model):
    """The count of one tier; written by the operator's plan, `kubectl scale`, an HPA or KEDA."""

    tier: Tier = Field(description="Which tier of the fleet this is. Immutable.")
    instances: int = Field(
        ge=0, le=1000, description="Instances wanted; the fleet's own bounds and GPU budget still hold."
    )


class TierObjectStatus(Model):
    """What /scale reports: instances that exist, and a selector of one pod an instance."""

    model_config = ConfigDict(extra="ignore")

    instances: int = Field(0, description="Instances that exist, ready or not.")
    ready: int = Field(0, description="Instances that take requests.")
    selector: str = Field("", description="Label selector of one pod an instance, for autoscalers.")
    observed_generation: int = Field(0, description="Generation of this object that the counts answer.")


class HeterogeneousTier(Model):
    """One tier of a fleet as an object that can be scaled; made and owned by its fleet."""

    api_version: Literal["heterofleet.io/v1alpha1"] = "heterofleet.io/v1alpha1"
    kind: Literal["HeterogeneousTier"] = "HeterogeneousTier"
    metadata: Metadata
    spec: TierObjectSpec
    status: TierObjectStatus = TierObjectStatus()

    RULES: ClassVar = (
        Rule(
            cel="self.metadata.name.endsWith('-' + self.spec.tier)",
            # A name never changes, and so neither does the tier.
            message="a tier's object is named <fleet>-<tier> and stays that tier's: leave both to its fleet",
            holds=lambda t: t.metadata.name.endswith(f"-{t.spec.tier}"),
            field="metadata.name",
        ),
    )

    @classmethod
    def parse(cls, body: Manifest) -> Self:
        """The tier that `body` describes; raises pydantic.ValidationError."""
        tier = _strictly(cls, body)
        return tier.model_copy(update={"status": TierObjectStatus.model_validate(body.get("status") or {})})
