"""What every model of the API shares: strictness, camelCase keys, and rules that hold here and in the API server.

A `Rule` states one thing twice, once in CEL and once in Python, side by side, so that admission and the offline
`validate` agree; `api.crd` writes the CEL into the CRD and the tests run each case through both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True, slots=True)
class Rule:
    """A property of one value.

    `cel` is evaluated by the API server with `self` bound to the value; `holds` is the same predicate in Python.
    `message` says what to write instead, `field` (keys of the value, with dots) is where, if not at the value itself.
    """

    cel: str
    message: str
    holds: Callable[[Any], bool]
    field: str = ""


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

    def to_kubernetes(self) -> dict[str, Any]:
        """The value as the API server stores it: camelCase keys, plain JSON, no key where there is no value."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


@dataclass(frozen=True, slots=True)
class KeyedBy:
    """Marks a list of models that differ in the field `key`: the server refuses repeats and merges items by it."""

    key: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._without_repeats, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {
            **handler(schema),
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": [self.key],
        }

    def _without_repeats(self, items: list[Any]) -> list[Any]:
        keys = [getattr(item, self.key) for item in items]
        repeated = sorted({str(key) for key in keys if keys.count(key) > 1})
        if repeated:
            raise ValueError(f"Duplicate value: {self.key} {', '.join(repeated)} stands more than once: keep one")
        return items


def _quantity_as_text(value: Any) -> Any:
    """A whole number is a quantity too, as in `cpu: 4`; true is not one, although Python counts it as 1."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _whole_seconds(time: datetime) -> datetime:
    """Kubernetes stores times in whole seconds; ours are so from the start, to be the same when read back."""
    return time.replace(microsecond=0)


_QUANTITY = r"^([0-9]+(\.[0-9]+)?|\.[0-9]+)(([KMGTPE]i)|[numkMGTPE]|[eE][-+]?[0-9]+)?$"
_LABEL_VALUE = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"

ObjectName = Annotated[str, StringConstraints(pattern=_SUBDOMAIN, max_length=253)]
Ratio = Annotated[float, Field(ge=0, le=1)]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=253)]
Image = Annotated[str, StringConstraints(pattern=r"^[!-~]+$", max_length=512)]
LabelKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][-A-Za-z0-9_./]*$", max_length=316)]
LabelValue = Annotated[str, StringConstraints(pattern=_LABEL_VALUE, max_length=63)]
Labels = Annotated[dict[str, LabelValue], Field(max_length=64)]
Annotations = Annotated[dict[str, Annotated[str, StringConstraints(max_length=4096)]], Field(max_length=64)]
Quantity = Annotated[
    str,
    BeforeValidator(_quantity_as_text),
    StringConstraints(pattern=_QUANTITY, max_length=32),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": _QUANTITY, "maxLength": 32, "minimum": 0}),
]
"""An amount as Kubernetes writes it: 4, 500m, 16Gi."""
Quantities = Annotated[dict[str, Quantity], Field(max_length=16)]
Timestamp = Annotated[datetime, AfterValidator(_whole_seconds)]
Overlay = dict[str, Any]
"""A piece of a Kubernetes object that the API server checks where it is used, not here."""


class SecretKey(Model):
    """One key of a Secret in the fleet's namespace."""

    name: ObjectName = Field(description="Name of the Secret.")
    key: ShortText = Field(description="Key in the Secret's data.")


class LocalReference(Model):
    """An object of the fleet's namespace, by name."""

    name: ObjectName = Field(description="Name of the object.")
