"""What `kubectl apply` of a fleet would send, as one patch that the server can be asked to try out. Pure.

A fleet that was applied by a client holds what was applied last in an annotation: what is in there and not in the file
is taken away, and what others have set since stays. One that was applied by the server belongs field by field to the
manager that applied it, and is applied under its name again. One that does not exist is applied by the server.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from heterofleet.api import labels
from heterofleet.api.labels import Manifest
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cli.access import APPLY, MERGE, Change

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_CLIENT: Final = "kubectl-client-side-apply"
_SERVER: Final = "kubectl"


def of(fleet: HeterogeneousDeployment, namespace: str, live: Manifest | None) -> Change:
    """The patch that brings what is `live` to the fleet of a file."""
    written = fleet.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"status"})
    named = {"name": fleet.metadata.name, "namespace": namespace}
    metadata = {key: value for key, value in written["metadata"].items() if key in ("labels", "annotations")}
    body: Manifest = {
        "apiVersion": labels.API_VERSION,
        "kind": labels.FLEET_KIND,
        "metadata": {**metadata, **named},
        "spec": written["spec"],
    }
    applied = _last_applied(live)
    if applied is None:
        return Change(body, APPLY, _applier(live))
    return Change({**body, **_removing(applied, body, ("metadata", "spec"))}, MERGE, _CLIENT)


def _last_applied(live: Manifest | None) -> Mapping[str, Any] | None:
    text = ((live or {}).get("metadata", {}).get("annotations") or {}).get(LAST_APPLIED)
    try:
        applied = json.loads(text) if text else None
    except ValueError:
        return None
    return applied if isinstance(applied, dict) else None


def _applier(live: Manifest | None) -> str:
    """Who applied the spec that is there; the name under which kubectl applies where nobody has."""
    for entry in (live or {}).get("metadata", {}).get("managedFields") or ():
        if entry.get("operation") == "Apply" and not entry.get("subresource") and "f:spec" in entry.get("fieldsV1", {}):
            return str(entry["manager"])
    return _SERVER


def _removing(applied: Mapping[str, Any], wanted: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: _without(applied.get(key), wanted[key]) for key in keys}


def _without(applied: Any, wanted: Any) -> Any:
    """What is wanted, with a null for each key that was applied before and is not wanted any more."""
    if not isinstance(applied, dict) or not isinstance(wanted, dict):
        return wanted
    gone: dict[str, Any] = {key: None for key in applied if key not in wanted}
    return gone | {key: _without(applied.get(key), value) for key, value in wanted.items()}
