"""The least JSON value that a schema allows, as an answer where a request asks for a form.

Not a validator: it follows what schemas of tools and structured outputs are made of (types, enums, required properties,
references, alternatives, least lengths and numbers) and takes the first of what is possible.
"""

from collections.abc import Mapping
from typing import Any, Final

_DEEPEST: Final = 16
"""A schema that refers to itself ends here, with null."""


def instance(schema: object, root: object = None, depth: int = 0) -> Any:
    """A value of this schema; references are looked up in `root`."""
    root = schema if root is None else root
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return {} if schema is True else None
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    if "$ref" in schema:
        return instance(_referred(str(schema["$ref"]), root), root, depth + 1)
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return instance(schema[key][0], root, depth + 1)
    if schema.get("allOf"):
        return instance(_joined(schema["allOf"], root), root, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "array" if "items" in schema else None)
    return _of_type(kind[0] if isinstance(kind, list) and kind else kind, schema, root, depth)


def _of_type(kind: object, schema: Mapping[str, Any], root: object, depth: int) -> Any:
    if kind == "object":
        properties = schema.get("properties", {})
        # Without a list of what is required all of them are shown, since an empty object says nothing.
        names = schema.get("required", list(properties))
        return {name: instance(properties.get(name, {}), root, depth + 1) for name in names}
    if kind == "array":
        return [instance(schema.get("items", {}), root, depth + 1) for _ in range(int(schema.get("minItems", 0)))]
    if kind in ("integer", "number"):
        return _number(schema)
    if kind == "string":
        return _string(schema)
    return {"boolean": True, "null": None}.get(str(kind), "text")


def _string(schema: Mapping[str, Any]) -> str:
    text = "text".ljust(int(schema.get("minLength", 0)), "x")
    return text[: int(schema["maxLength"])] if "maxLength" in schema else text


def _number(schema: Mapping[str, Any]) -> float:
    if "minimum" in schema:
        return float(schema["minimum"]) if schema.get("type") == "number" else int(schema["minimum"])
    if "exclusiveMinimum" in schema:
        return int(schema["exclusiveMinimum"]) + 1
    return min(0, int(schema["maximum"])) if "maximum" in schema else 0


def _referred(reference: str, root: object) -> object:
    found = root
    for part in reference.removeprefix("#/").split("/"):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _joined(parts: list[Any], root: object) -> dict[str, Any]:
    """All parts of an allOf in one schema."""
    joined: dict[str, Any] = {"properties": {}, "required": []}
    for part in parts:
        whole = _referred(part["$ref"], root) if isinstance(part, Mapping) and "$ref" in part else part
        if isinstance(whole, Mapping):
            joined |= {key: value for key, value in whole.items() if key not in joined}
            joined["properties"] |= whole.get("properties", {})
            joined["required"] += whole.get("required", [])
    if not joined["properties"]:
        del joined["properties"], joined["required"]
    return joined
