"""RouterConfig and Plan: what the operator tells the routers, and the digest by which they say what they hold.

The operator renders both into the ConfigMap `<fleet>-router`: `config.json` from the spec alone, `plan.json` from
the plan (contracts.md, "Operator -> router"). They have an API version of their own, since routers and operator
are upgraded apart: a router refuses an unknown version, and ignores and logs an unknown field of a known one.
Alone, without Kubernetes, a router reads the same RouterConfig from YAML.

`python -m heterofleet.api.routing` prints the JSON schema of both.
"""

import hashlib
import json
import sys
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal

from pydantic import Field

from heterofleet.api.base import Reported
from heterofleet.api.labels import Tier
from heterofleet.api.policy import RouterPolicy

API_VERSION: Final = "router.heterofleet.io/v1alpha1"
CONFIG_KEY: Final = "config.json"
PLAN_KEY: Final = "plan.json"


class _Told(Reported):
    """A value that crosses from operator to router; what a newer operator adds is ignored by an older router."""

    def canonical(self) -> str:
        """JSON with sorted keys and no spaces, the form that is stored and digested."""
        return json.dumps(
            self.model_dump(mode="json", by_alias=True, exclude_none=True),
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
        )

    def digest(self) -> str:
        """sha256, in hex, of the canonical JSON."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()


class RequestClass(StrEnum):
    """What a request is: reasoning and planning, or execution."""

    PLAN = "plan"
    ACT = "act"


class TierEndpoints(_Told):
    """Where the engines of a tier are found: pods with these labels, at this port."""

    served_name: str = Field(description="The tier's name in the API; the first that its engines answer to.")
    selector: dict[str, str] = Field(description="Labels of the pods that take requests.")
    port: int = Field(ge=1, le=65_535)


class ModelName(_Told):
    """A model name that clients may send, and what it pins: a tier, a class, or neither (the router decides)."""

    name: str
    tier: Tier | None = None
    request_class: RequestClass | None = None


class StaticEndpoint(_Told):
    """An engine that is named in a file, where there is no cluster to ask."""

    address: str = Field(description="host:port.")
    tier: Tier


class RouterConfig(_Told):
    """What a router must know of its fleet; from the spec alone, never from what runs."""

    api_version: Literal["router.heterofleet.io/v1alpha1"] = API_VERSION
    kind: Literal["RouterConfig"] = "RouterConfig"
    namespace: str
    fleet: str
    port: int = Field(ge=1, le=65_535, description="Where clients connect.")
    metrics_port: int = Field(ge=1, le=65_535, description="/metrics, /config, /healthz and /readyz.")
    state_label: str = Field(description="Pods whose value of this label is not `serving` get nothing new.")
    large: TierEndpoints
    small: TierEndpoints
    models: list[ModelName]
    policy: RouterPolicy = RouterPolicy()
    endpoints: list[StaticEndpoint] = Field(default_factory=list, description="Without Kubernetes: the engines.")


class Degrade(StrEnum):
    """How much service is given up for lack of capacity; only `None` until the planner decides it."""

    NONE = "None"


class Arrival(_Told):
    """Capacity that is booting: instances of a tier, and when they are expected, as an absolute time."""

    tier: Tier
    instances: int = Field(ge=1)
    at: datetime


class Plan(_Told):
    """What the planner asks of the routers now. `bias` moves act requests between tiers, never their class."""

    api_version: Literal["router.heterofleet.io/v1alpha1"] = API_VERSION
    kind: Literal["Plan"] = "Plan"
    bias: float = Field(0.0, ge=-1.0, le=1.0)
    degrade: Degrade = Degrade.NONE
    arrivals: list[Arrival] = Field(default_factory=list)


def schema() -> dict[str, Any]:
    """JSON schema of both documents, under the keys of the ConfigMap."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What the operator tells a router",
        CONFIG_KEY: RouterConfig.model_json_schema(by_alias=True),
        PLAN_KEY: Plan.model_json_schema(by_alias=True),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(), indent=2, sort_keys=True) + "\n")
