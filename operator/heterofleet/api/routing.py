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
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, TypeVar, get_args

from pydantic import BaseModel, Field, PlainSerializer, ValidationError

from heterofleet.api.base import Reported
from heterofleet.api.labels import ENGINE_PORT, METRICS_PORT, ROUTER_PORT, STATE, Tier
from heterofleet.api.policy import RouterPolicy
from heterofleet.api.price import TokenPrice

API_VERSION: Final = "router.heterofleet.io/v1alpha1"
VERSIONS: Final = (API_VERSION,)
"""Every version of both documents that this code writes and reads, the newest first."""

CONFIG_KEY: Final = "config.json"
PLAN_KEY: Final = "plan.json"


class Unreadable(ValueError):
    """A document that a router cannot use; its text is the sentence that says why."""


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

    __hash__ = str.__hash__  # As that of Tier, for the same reason.


MAX_IN_FLIGHT: Final = 256
"""Requests that vLLM runs at once where nothing else is asked of it (--max-num-seqs)."""


class TierEndpoints(_Told):
    """Where the engines of a tier are found: pods with these labels, at this port."""

    served_name: str = Field(description="The tier's name in the API; the first that its engines answer to.")
    selector: dict[str, str] = Field(default_factory=dict, description="Labels of the pods that take requests.")
    port: int = Field(ENGINE_PORT, ge=1, le=65_535)
    price: TokenPrice | None = Field(None, description="What tokens are posted at; no money is counted unless given.")
    max_in_flight: int = Field(
        MAX_IN_FLIGHT,
        ge=1,
        le=65_536,
        description="Requests that one engine runs at once; the others wait in the router, where they have an order.",
        exclude_if=lambda held: held == MAX_IN_FLIGHT,
    )


class ModelName(_Told):
    """A model name that clients may send, and what it pins: a tier, a class, or neither (the router decides)."""

    name: str
    tier: Tier | None = None
    request_class: RequestClass | None = None


class StaticEndpoint(_Told):
    """An engine that is named in a file, where there is no cluster to ask."""

    address: str = Field(description="host:port.")
    tier: Tier
    model: str | None = Field(
        None, description="The name that the engine knows its model by, where it answers to no other: bodies get it."
    )
    draining: bool = Field(
        False,
        description="It gets nothing new and finishes what it has, as before it is stopped.",
        exclude_if=lambda draining: not draining,
    )


def _said(policy: RouterPolicy) -> dict[str, Any]:
    """What differs from the behaviour of a fleet that says nothing; an explicit null is kept."""
    return policy.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _model_names(config: dict[str, Any]) -> list[ModelName]:
    """Every name that both tiers' engines answer to, from what was read of the config before."""
    wanted = [
        *(ModelName(name=config[tier].served_name, tier=tier) for tier in Tier if tier in config),
        ModelName(name=config.get("fleet", "auto")),
        ModelName(name="auto"),
        ModelName(name="plan", request_class=RequestClass.PLAN),
        ModelName(name="act", request_class=RequestClass.ACT),
    ]
    # A tier may be called like the fleet or `auto`; its own meaning stands first and wins.
    meant = {model.name: model for model in reversed(wanted)}
    return [meant[name] for name in dict.fromkeys(model.name for model in wanted)]


class RouterConfig(_Told):
    """What a router must know of its fleet; from the spec alone, never from what runs.

    What was not there in 0.1.0 is left out of the canonical form where it says nothing, so that a fleet that does not
    use it keeps its digest.
    """

    api_version: Literal["router.heterofleet.io/v1alpha1"] = API_VERSION
    kind: Literal["RouterConfig"] = "RouterConfig"
    namespace: str = "default"
    fleet: str = Field(description="Name of the fleet, which clients may send as a model name.")
    port: int = Field(ROUTER_PORT, ge=1, le=65_535, description="Where clients connect.")
    metrics_port: int = Field(METRICS_PORT, ge=1, le=65_535, description="/metrics, /config, /healthz and /readyz.")
    state_label: str = Field(STATE, description="Pods whose value of this label is not `serving` get nothing new.")
    large: TierEndpoints
    small: TierEndpoints
    models: list[ModelName] = Field(
        default_factory=_model_names, description="Names that clients may send; those of the fleet unless given."
    )
    policy: Annotated[RouterPolicy, PlainSerializer(_said, when_used="json")] = Field(
        RouterPolicy(), exclude_if=lambda policy: not _said(policy)
    )
    endpoints: list[StaticEndpoint] = Field(
        default_factory=list,
        description="Without Kubernetes: the engines.",
        exclude_if=lambda endpoints: not endpoints,
    )


class Degrade(StrEnum):
    """How much service is given up for lack of capacity or money."""

    NONE = "None"
    PREFER_SMALL = "PreferSmall"
    THROTTLE = "Throttle"


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
    degrade: Degrade = Field(
        Degrade.NONE,
        description="PreferSmall: the small tier answers what it can. Throttle: requests are refused with 429.",
    )
    arrivals: list[Arrival] = Field(default_factory=list)


def read(text: str) -> tuple[RouterConfig, tuple[str, ...]]:
    """The config that `text` holds, and the paths of what a newer operator may mean by it and we do not know.

    Raises Unreadable.
    """
    return _read(RouterConfig, text)


def read_plan(text: str) -> tuple[Plan, tuple[str, ...]]:
    """The plan that `text` holds, and the paths of what is not known of it. Raises Unreadable."""
    return _read(Plan, text)


_Document = TypeVar("_Document", RouterConfig, Plan)


def _read(kind: type[_Document], text: str) -> tuple[_Document, tuple[str, ...]]:
    try:
        body = json.loads(text)
    except ValueError as exc:
        raise Unreadable(f"not JSON: {exc}") from exc
    if not isinstance(body, dict):
        raise Unreadable(f"a {kind.__name__} is a JSON object")
    version = body.get("apiVersion", API_VERSION)
    if version not in VERSIONS:
        raise Unreadable(f"apiVersion {version!r} is not known here: this router reads {', '.join(VERSIONS)}")
    known, paths = without_unknown(kind, body)
    try:
        return kind.model_validate(known), tuple(paths)
    except ValidationError as exc:
        raise Unreadable(_sentence(exc)) from exc


def _sentence(exc: ValidationError) -> str:
    faults = exc.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(
        f"{'.'.join(map(str, fault['loc']))}: {fault['msg'].removeprefix('Value error, ')}".removeprefix(": ")
        for fault in faults
        if fault["type"] != "default_factory_not_called"  # Says no more than the fault that it waits for.
    )


def without_unknown(model: type[BaseModel], body: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """`body` without the fields that `model` does not have, at any depth, and the paths of what was left out.

    What is of a wrong type is left as it is, for the validation to refuse.
    """
    paths: list[str] = []
    return _known(model, body, "", paths), paths


def _known(model: type[BaseModel], body: Mapping[str, Any], at: str, dropped: list[str]) -> dict[str, Any]:
    fields = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
    kept: dict[str, Any] = {}
    for key, value in body.items():
        path = f"{at}.{key}" if at else key
        if key not in fields:
            dropped.append(path)
            continue
        inner = _model_in(fields[key])
        if inner is not None and isinstance(value, dict):
            kept[key] = _known(inner, value, path, dropped)
        elif inner is not None and isinstance(value, list):
            kept[key] = [
                _known(inner, item, f"{path}[{index}]", dropped) if isinstance(item, dict) else item
                for index, item in enumerate(value)
            ]
        else:
            kept[key] = value
    return kept


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model of which a field holds one, none or a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)


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
