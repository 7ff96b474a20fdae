"""Turns the models into CustomResourceDefinitions, so that admission and the operator read one source.

    model -> JSON schema (pydantic) -> structural OpenAPI v3 schema -> CustomResourceDefinition

The API server takes less than JSON schema: no references, no unions, no null, defaults that are literals. An optional
field is therefore one that is not required, and a field that holds a model gets that model's defaults written out.
Each `Rule` and `Transition` becomes one x-kubernetes-validations entry at the level of its model. A status has neither
defaults nor enumerations: it is written by the operator alone, and a newer one must be able to say more under an
older CRD.

`python -m heterofleet.api.crd` prints the definitions as a List for `kubectl apply -f -`; `heterofleet.generate`
writes them as files.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import PydanticUndefined, core_schema, to_jsonable_python

from heterofleet.api import base, labels, v1alpha1

Schema = dict[str, Any]
"""A JSON or OpenAPI schema."""

_VALIDATIONS: Final = "x-kubernetes-validations"
_PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
_KEPT: Final = (
    "type", "description", "format", "default", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength",
    "minItems", "maxItems", "minProperties", "maxProperties", "required", _VALIDATIONS,
    "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-int-or-string",
)  # fmt: skip
_UNWRITTEN: Final = frozenset({"title", "properties", "items", "additionalProperties"})


class UnstructuralSchemaError(TypeError):
    """A model uses something that a structural schema cannot say."""


class Column(NamedTuple):
    """One column of `kubectl get`; `wide` ones show with -o wide alone."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False
    description: str = ""

    def manifest(self) -> Schema:
        optional: Schema = {"priority": 1} if self.wide else {}
        said: Schema = {"description": self.description} if self.description else {}
        return {"name": self.name, "type": self.type, "jsonPath": self.path, **said, **optional}


_AGE: Final = Column("Age", ".metadata.creationTimestamp", "date")
FLEET_COLUMNS: Final = (
    Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
    Column("Large", ".status.large.summary", description="Ready / desired instances of the large tier"),
    Column("Small", ".status.small.summary", description="Ready / desired instances of the small tier"),
    Column("$/h", ".status.cost.usdPerHour", description="Price of the GPUs held, in USD an hour"),
    Column("Reason", '.status.conditions[?(@.type=="Ready")].reason'),
    Column("Ratio", ".status.ratio", wide=True, description="Small instances for each large one"),
    Column("Mode", ".spec.mode", wide=True, description="Whether the plan is enforced or only published"),
    Column("Endpoint", ".status.endpoint", wide=True),
    Column("Model", ".spec.large.model.source", wide=True, description="Model of the large tier"),
    _AGE,
)
TIER_COLUMNS: Final = (
    Column("Tier", ".spec.tier"),
    Column("Desired", ".spec.instances", "integer"),
    Column("Instances", ".status.instances", "integer"),
    Column("Ready", ".status.ready", "integer"),
    _AGE,
)


def definitions() -> tuple[labels.Manifest, ...]:
    """The CustomResourceDefinitions of the group, fleets first."""
    fleet = _definition(
        v1alpha1.HeterogeneousDeployment,
        names={
            "kind": labels.FLEET_KIND,
            "plural": labels.FLEET_PLURAL,
            "shortNames": ["hd", "hetdep"],
            "categories": ["all", "ai"],
        },
        columns=FLEET_COLUMNS,
        subresources={"status": {}},
    )
    tier = _definition(
        v1alpha1.HeterogeneousTier,
        names={"kind": labels.TIER_KIND, "plural": labels.TIER_PLURAL, "shortNames": ["ht"], "categories": ["ai"]},
        columns=TIER_COLUMNS,
        subresources={
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.instances",
                "statusReplicasPath": ".status.instances",
                "labelSelectorPath": ".status.selector",
            },
        },
    )
    return fleet, tier


def _definition(
    model: type[base.Model], *, names: Schema, columns: tuple[Column, ...], subresources: Schema
) -> labels.Manifest:
    version = {
        "name": labels.VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [column.manifest() for column in columns],
        "schema": {"openAPIV3Schema": object_schema(model)},
        "subresources": subresources,
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{names['plural']}.{labels.GROUP}",
            "labels": {"app.kubernetes.io/name": "heterofleet", "app.kubernetes.io/component": "crd"},
        },
        "spec": {
            "group": labels.GROUP,
            "names": {"singular": names["kind"].lower(), "listKind": f"{names['kind']}List", **names},
            "scope": "Namespaced",
            "versions": [version],
        },
    }


def object_schema(model: type[BaseModel]) -> Schema:
    """The structural schema of a whole object: metadata is the server's, spec is required, status only reported."""
    schema = structural_schema(model)
    schema["properties"] |= {
        "apiVersion": {"type": "string", "description": "Version of this schema."},
        "kind": {"type": "string", "description": "Kind of this object."},
        "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
        "status": _reported(schema["properties"]["status"]),
    }
    schema["required"] = ["spec"]
    return schema


def structural_schema(model: type[BaseModel]) -> Schema:
    """The structural schema of one model, with everything it refers to written out in place.

    Raises UnstructuralSchemaError where the model says what a structural schema cannot.
    """
    schema = model.model_json_schema(by_alias=True, schema_generator=_WithRules)
    return _structural(schema, schema.get("$defs", {}), at=model.__name__)


class _WithRules(GenerateJsonSchema):
    """pydantic's JSON schema with rules, without null and with the defaults that a server can fill in."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        written = super().model_schema(schema)
        model = schema["cls"]
        if issubclass(model, base.Model) and (model.RULES or model.TRANSITIONS):
            written[_VALIDATIONS] = [
                *(_validation(rule) for rule in model.RULES),
                *({"rule": rule.cel, "message": rule.message} for rule in model.TRANSITIONS),
            ]
        return written

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        inner = self.generate_inner(schema["schema"])
        default = _literal(_default(schema))
        return inner if default is None else {**inner, "default": default}


def _validation(rule: base.Rule) -> Schema:
    place = {"fieldPath": f".{rule.field}"} if rule.field else {}
    return {"rule": rule.cel, "message": rule.message, **place}


def _default(schema: core_schema.WithDefaultSchema) -> object:
    if "default_factory" in schema:
        make: Any = schema["default_factory"]
        return make()
    return schema.get("default", PydanticUndefined)


def _literal(default: object) -> object:
    """What the server writes where the field is missing; None where it writes nothing.

    Empty lists and maps are left out, since they would only clutter the stored object.
    """
    if default is PydanticUndefined or default is None or default in ([], {}):
        return None
    if isinstance(default, BaseModel):
        return _written_out(default)
    return to_jsonable_python(default)


def _written_out(model: BaseModel) -> Schema:
    """A default with its children's defaults: the server holds it against the rules before it fills children in."""
    fields = type(model).model_fields
    values = ((fields[name].alias or name, _literal(value)) for name, value in model)
    return {alias: value for alias, value in values if value is not None}


def _structural(schema: Mapping[str, Any], named: Mapping[str, Schema], *, at: str) -> Schema:
    if "$ref" in schema:
        target = named[schema["$ref"].removeprefix("#/$defs/")]
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return _structural({**target, **beside}, named, at=at)
    if "const" in schema:
        return _structural({"type": "string", "enum": [schema["const"]]}, named, at=at)
    unknown = schema.keys() - {*_KEPT, *_UNWRITTEN, "$defs", "const"}
    if unknown or not {"type", "x-kubernetes-int-or-string"} & schema.keys():
        raise UnstructuralSchemaError(f"{at}: {sorted(unknown) or 'no type'} cannot be said in a structural schema")
    written = {key: schema[key] for key in _KEPT if key in schema}
    if "description" in written:
        written["description"] = " ".join(written["description"].split())
    if "properties" in schema:
        written["properties"] = {
            name: _structural(value, named, at=f"{at}.{name}") for name, value in schema["properties"].items()
        }
    if "items" in schema:
        written["items"] = _structural(schema["items"], named, at=f"{at}[]")
    return written | _values(schema, named, at=at)


def _values(schema: Mapping[str, Any], named: Mapping[str, Schema], *, at: str) -> Schema:
    """Say what a map may hold; a model's own `additionalProperties: false` is implied by the server's pruning."""
    match schema.get("additionalProperties", False):
        case False:
            return {}
        case True:
            return {_PRESERVE: True}
        case values:
            return {"additionalProperties": _structural(values, named, at=f"{at}{{}}")}


def _reported(schema: Schema) -> Schema:
    """Take defaults and enumerations out of a schema, at every depth."""
    written = {key: value for key, value in schema.items() if key not in ("default", "enum")}
    if "properties" in schema:
        written["properties"] = {name: _reported(value) for name, value in schema["properties"].items()}
    for inner in ("items", "additionalProperties"):
        if inner in schema:
            written[inner] = _reported(schema[inner])
    return written


def main() -> None:
    """Print the definitions as one List; JSON is YAML to kubectl."""
    listed = {"apiVersion": "v1", "kind": "List", "items": list(definitions())}
    json.dump(listed, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
