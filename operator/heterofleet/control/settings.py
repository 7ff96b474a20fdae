"""Reads the process's environment, once, into frozen settings, or says in a sentence what is wrong with it.

Everything that differs between installations of the operator stands here; what differs between fleets stands in
their spec. The chart sets these variables, and its schema has the same bounds.
"""

import importlib.metadata
import os
import re
import socket
import uuid
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

import pydantic

from heterofleet.api import labels
from heterofleet.metrics.source import Source

PREFIX: Final = "HETEROFLEET_"
ENGINE_IMAGE: Final = "vllm/vllm-openai:v0.32.0"
ROUTER_REPOSITORY: Final = "ghcr.io/heterofleet/router"

_USER: Final = re.compile(r"//[^/\s]*@")
_NAMESPACE: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

Name = Annotated[str, pydantic.StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
Image = Annotated[str, pydantic.StringConstraints(pattern=r"^\S+$")]


class SettingsError(Exception):
    """The environment is wrong; the message has one line for each variable to mend."""


class LeaseSettings(pydantic.BaseModel):
    """Which Lease makes a process the leader, and its times, in the meaning of client-go.

    A leader that could not renew for `renew_deadline_seconds` stops writing; others may take the lease after
    `duration_seconds`. The difference is what a write that is under way has to finish or fail.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    name: Name = labels.FIELD_MANAGER
    namespace: Name = "default"
    duration_seconds: Annotated[int, pydantic.Field(ge=1, le=3600)] = 15
    renew_deadline_seconds: Annotated[float, pydantic.Field(gt=0)] = 10
    retry_period_seconds: Annotated[float, pydantic.Field(gt=0)] = 2

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.retry_period_seconds < self.renew_deadline_seconds < self.duration_seconds:
            raise ValueError(
                f"a lease needs retry period ({self.retry_period_seconds:g} s) < renew deadline "
                f"({self.renew_deadline_seconds:g} s) < duration ({self.duration_seconds} s)"
            )
        return self


class Settings(pydantic.BaseModel):
    """All that the operator's environment says; `namespaces` empty means the whole cluster."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    identity: Annotated[str, pydantic.StringConstraints(min_length=1)]
    pod_namespace: Name = "default"
    namespaces: tuple[str, ...] = ()
    log_format: Literal["json", "text"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    metrics_host: str = ""
    metrics_port: Annotated[int, pydantic.Field(ge=0, le=65535)] = labels.METRICS_PORT
    workers: Annotated[int, pydantic.Field(ge=1, le=64)] = 8
    resync_seconds: Annotated[float, pydantic.Field(ge=10)] = 600
    engine_image: Image = ENGINE_IMAGE
    router_image: Image
    time_scale: Annotated[float, pydantic.Field(ge=1, le=3600)] = 1
    """How fast the planner's clock runs. For the test bed alone: the chart has no value for it."""
    lease: LeaseSettings = LeaseSettings()
    prometheus: Source = Source()

    @pydantic.field_validator("namespaces")
    @classmethod
    def _are_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not _NAMESPACE.fullmatch(name):
                raise ValueError(f"{name!r} is not a namespace's name")
        return tuple(sorted(set(names)))

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Parses the environment; raises `SettingsError` with a sentence for each variable that is wrong."""
        found = {name: value for name, value in environment.items() if value}
        pod_namespace = found.get("POD_NAMESPACE", "default")
        fields: dict[str, Any] = {
            "identity": f"{found.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}",
            "pod_namespace": pod_namespace,
            "router_image": f"{ROUTER_REPOSITORY}:{importlib.metadata.version('heterofleet')}",
        }
        parts: dict[str, dict[str, Any]] = {name: {} for name in _PARTS}
        parts["lease"]["namespace"] = pod_namespace
        for variable, field in _VARIABLES.items():
            value = found.get(variable)
            if value is None:
                continue
            part, _, name = field.rpartition(".")
            (parts[part] if part else fields)[name] = _words(value) if field in _LISTS else value
        try:
            return cls.model_validate({**fields, **parts})
        except pydantic.ValidationError as exc:
            raise SettingsError("\n".join(_sentences(exc))) from exc


_PARTS: Final[Mapping[str, type[pydantic.BaseModel]]] = {"lease": LeaseSettings, "prometheus": Source}
_LISTS: Final = ("namespaces", "prometheus.allowed_urls")
_VARIABLES: Final[Mapping[str, str]] = {
    **{
        f"{PREFIX}{name.upper()}": name
        for name in Settings.model_fields
        if name not in ("identity", "pod_namespace", *_PARTS)
    },
    **{
        f"{PREFIX}{part.upper()}_{name.upper()}": f"{part}.{name}"
        for part, model in _PARTS.items()
        for name in model.model_fields
    },
}


def _words(text: str) -> tuple[str, ...]:
    """What stands between commas or spaces."""
    return tuple(text.replace(",", " ").split())


def _sentences(exc: pydantic.ValidationError) -> list[str]:
    by_field = {field: variable for variable, field in _VARIABLES.items()}
    sentences = []
    for error in exc.errors(include_url=False):
        path = ".".join(part for part in error["loc"] if isinstance(part, str))
        variable = by_field.get(path, f"{PREFIX}{path.upper().replace('.', '_')}*")
        message = error["msg"].removeprefix("Value error, ")
        value = error["input"]
        # A password that stands in an address, where it must not, does not get into the log, too.
        shown = f" (it is {_USER.sub('//…@', value)!r})" if isinstance(value, str) else ""
        sentences.append(f"{variable}: {message[:1].lower()}{message[1:]}{shown}.")
    return sentences
