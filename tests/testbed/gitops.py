"""Judges a fleet as Argo CD and Flux would, with the very expressions that manifests/gitops ships.

Argo CD runs its Lua in a sandbox of Lua 5.1; Flux evaluates CEL without a type check, on the object's own top-level
fields, in the order inProgress, failed, current, and calls everything else in progress (fluxcd/pkg, runtime/cel,
`StatusEvaluator.Evaluate`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml
from cel_expr_python import cel
from lupa import lua51

GITOPS: Final = Path(__file__).resolve().parents[2] / "manifests" / "gitops"
_ORDER: Final = {"inProgress": "InProgress", "failed": "Failed", "current": "Current"}


class Health(NamedTuple):
    """What Argo CD shows of an object."""

    status: str
    message: str


def argo_health(fleet: Mapping[str, Any]) -> Health:
    """Argo CD's health of a fleet: Healthy, Progressing, Degraded or Suspended, and why."""
    settings = yaml.safe_load((GITOPS / "argocd" / "argocd-cm.yaml").read_text("utf-8"))
    kind = f"heterofleet.io_{fleet['kind']}"
    lua = lua51.LuaRuntime(register_eval=False, unpack_returned_tuples=True)
    lua.globals()["obj"] = lua.table_from(fleet, recursive=True)
    answer = lua.execute(settings["data"][f"resource.customizations.health.{kind}"])
    return Health(answer["status"], answer["message"])


def flux_health(fleet: Mapping[str, Any]) -> str:
    """Flux' status of a fleet: InProgress, Failed or Current."""
    kustomization = yaml.safe_load((GITOPS / "flux" / "kustomization.yaml").read_text("utf-8"))
    (checks,) = (
        checks
        for checks in kustomization["spec"]["healthCheckExprs"]
        if (checks["apiVersion"], checks["kind"]) == (fleet["apiVersion"], fleet["kind"])
    )
    status = fleet.get("status", {})
    if status.get("observedGeneration", fleet["metadata"]["generation"]) != fleet["metadata"]["generation"]:
        return "InProgress"
    environment = cel.NewEnv(variables=dict.fromkeys(("metadata", "spec", "status"), cel.Type.DYN))
    data = {"metadata": fleet["metadata"], "spec": fleet["spec"], "status": status}
    for name, answer in _ORDER.items():
        if environment.compile(checks[name]).eval(data=data).value():
            return answer
    return "InProgress"
