"""What every model of the API shares: strictness, camelCase keys, and rules that hold here and in the API server.

A `Rule` states one thing twice, once in CEL and once in Python, side by side, so that admission and the offline
`validate` agree; `api.crd` writes the CEL into the CRD and the tests run each case through both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel


@dataclass(frozen=True, slots=True)
class Rule:
    """A property of one value.

    `cel` is evaluated by the API server with `self` bound to the value; `holds` is the same predicate in Python.
    `message` says what to write instead.
    """

    cel: str
    message: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Transition:
    """A property of an update: `cel` sees `self` and `oldSelf`, `holds` is called with (new, old)."""

    cel: str
    message: str
    holds: Callable[[Any, Any], bool]


class Model(BaseModel):
    """A frozen value of the API; unknown fields are errors, keys are camelCase."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    RULES: ClassVar[tuple[Rule, ...]] = ()
    TRANSITIONS: ClassVar[tuple[Transition, ...]] = ()

    @model_validator(mode="after")
    def _obeys_its_rules(self) -> Self:
        broken = [rule.message for rule in self.RULES if not rule.holds(self)]
        if broken:
            raise ValueError("; ".join(broken))
        return self


class Reported(BaseModel):
    """A value that we write into a status and read back: what a newer version wrote is ignored, not refused."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


DNS_LABEL = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
QUANTITY = r"^(\d+(\.\d+)?|\.\d+)(([KMGTPE]i)|[numkMGTPE]|[eE][-+]?\d+)?$"

ObjectName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=253)]
Quantity = Annotated[str, StringConstraints(pattern=QUANTITY, max_length=32)]
Labels = Annotated[dict[str, Annotated[str, StringConstraints(max_length=253)]], Field(max_length=64)]
Overlay = dict[str, Any]
"""A piece of a Kubernetes object that the API server checks where it is used, not here."""


class SecretKey(Model):
    """One key of a Secret in the fleet's namespace."""

    name: ObjectName
    key: ShortText


class LocalReference(Model):
    """An object of the fleet's namespace, by name."""

    name: ObjectName
