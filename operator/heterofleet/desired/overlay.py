"""Applies a user's `podTemplate` to the template that we rendered: a strategic overlay that has the last word.

Maps merge key by key, lists of named things merge by their name, other lists are replaced, null deletes, and
`$patch: delete | replace` works on maps and items as in `kubectl patch`. Only what keeps the fleet together is not
the user's to change: the labels by which selectors find the pods, and the presence of the main container.

Where Kubernetes wants exactly one of several (a volume's source, a variable's value, a probe's handler), giving
another one takes the old one out.
"""

from collections.abc import Mapping
from typing import Any, Final

from heterofleet.api.labels import GROUP, Manifest

_MERGE_KEYS: Final[Mapping[str, str]] = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "resourceClaims": "name",
    "schedulingGates": "name",
    "ports": "containerPort",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
}
"""Kubernetes' patch merge keys of the lists in a pod's spec; every other list is replaced whole."""

_UNIONS: Final = frozenset({"volumes", "env"})
"""Lists whose items hold one of several sources beside their name."""

_HANDLERS: Final = frozenset({"exec", "httpGet", "tcpSocket", "grpc", "sleep"})
"""What a probe or a lifecycle hook does: one of these."""

_DIRECTIVE: Final = "$patch"
_TOP: Final = frozenset({"metadata", "spec"})
_METADATA: Final = frozenset({"labels", "annotations"})


class InvalidOverlay(ValueError):
    """A podTemplate that cannot be applied; the message is a sentence that says what to write instead."""


def apply(body: Manifest, overlay: Manifest | None, container: str) -> Manifest:
    """The template `body` with `overlay` laid over it; `container` is the main one, which must stay.

    Raises InvalidOverlay.
    """
    if not overlay:
        return body
    _check_top(overlay)
    merged = _merge_maps(body, overlay, "podTemplate")
    _check_labels(body, merged)
    names = [item.get("name") for item in merged.get("spec", {}).get("containers", [])]
    if container not in names:
        raise InvalidOverlay(f"podTemplate removes the container {container!r}: keep it, since it is what serves")
    return merged


def _check_top(overlay: Manifest) -> None:
    unknown = sorted(overlay.keys() - _TOP)
    if unknown:
        raise InvalidOverlay(f"podTemplate has metadata and spec only, not {', '.join(unknown)}: move it under spec")
    metadata = overlay.get("metadata")
    unknown = sorted(metadata.keys() - _METADATA) if isinstance(metadata, Mapping) else []
    if unknown:
        raise InvalidOverlay(f"podTemplate.metadata holds labels and annotations only, not {', '.join(unknown)}")


def _check_labels(body: Manifest, merged: Manifest) -> None:
    before, after = body["metadata"]["labels"], merged.get("metadata", {}).get("labels", {})
    ours = {name for name in before.keys() | after.keys() if name.startswith(f"{GROUP}/")}
    changed = sorted(name for name in ours if before.get(name) != after.get(name))
    if changed:
        raise InvalidOverlay(
            f"podTemplate sets the label {', '.join(changed)}, by which the fleet finds its pods: choose another name"
        )


def _merge(base: Any, overlay: Any, key: str, path: str) -> Any:
    for shape, name in ((Mapping, "map"), (list, "list")):
        if isinstance(base, shape) and not isinstance(overlay, shape):
            raise InvalidOverlay(f"{path} is {overlay!r}, but a {name} is needed here")
    if isinstance(overlay, Mapping):
        return _merge_maps(base or {}, overlay, path)
    if isinstance(overlay, list) and key in _MERGE_KEYS:
        return _merge_lists(base or [], overlay, key, path)
    return overlay


def _merge_maps(base: Mapping[str, Any], overlay: Mapping[str, Any], path: str) -> dict[str, Any]:
    directive = overlay.get(_DIRECTIVE, "merge")
    if directive not in ("merge", "replace"):
        raise InvalidOverlay(f"{path}.$patch is {directive!r}: use merge or replace, or null to delete")
    merged = _without_other_handler(base, overlay) if directive == "merge" else {}
    for key, value in overlay.items():
        if key == _DIRECTIVE:
            continue
        if value is None or (isinstance(value, Mapping) and value.get(_DIRECTIVE) == "delete"):
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value, key, f"{path}.{key}")
    return merged


def _merge_lists(base: list[Any], overlay: list[Any], key: str, path: str) -> list[Any]:
    merge_key = _MERGE_KEYS[key]
    merged: dict[object, Any] = {item[merge_key]: item for item in base}
    for position, item in enumerate(overlay):
        here = f"{path}[{position}]"
        if not isinstance(item, Mapping):
            raise InvalidOverlay(f"{here} is {item!r}, but a map with {merge_key} is needed here")
        if item.get(_DIRECTIVE) == "replace" and merge_key not in item:
            merged = {}
            continue
        if merge_key not in item:
            raise InvalidOverlay(f"{here} has no {merge_key}: add it, since {key} are merged by it")
        identity = item[merge_key]
        if item.get(_DIRECTIVE) == "delete":
            merged.pop(identity, None)
        else:
            merged[identity] = _merge_item(merged.get(identity, {}), item, key, f"{path}[{identity}]")
    return list(merged.values())


def _merge_item(base: Mapping[str, Any], item: Mapping[str, Any], key: str, path: str) -> dict[str, Any]:
    other_source = key in _UNIONS and not (base.keys() & item.keys() - {"name"})
    return _merge_maps({} if other_source else base, item, path)


def _without_other_handler(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    chosen = _HANDLERS & {key for key, value in overlay.items() if value is not None}
    return {key: value for key, value in base.items() if not chosen or key in chosen or key not in _HANDLERS}
