"""Does one action of a walk to the cluster, and says in a few words what it came to.

What the API server refuses (an edit that breaks a rule, a count on an object that is gone) is a part of the walk;
everything else that goes wrong ends it.
"""

import contextlib
import signal
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from heterofleet.api import labels
from randomwalk import world as places
from randomwalk.actions import Action, Kind, Manifest
from randomwalk.world import FOREIGN, World
from reconcile.site import POOL
from testbed import nodes, stages
from testbed.api import ApiError

T = TypeVar("T")

THIEF = "random-thief"
SERVER_SECONDS = 240
REFUSALS = (400, 403, 404, 409, 410, 422)


def perform(action: Action, world: World) -> str:
    """Do it; what comes back is for the report."""
    world.crew.revive()
    try:
        return world.persistently(lambda: _DOINGS[action.kind](action, world))
    except ApiError as exc:
        if exc.status not in REFUSALS:
            raise
        return f"refused: {exc}"[:300]


# ---- the fleet's owner


def _create(action: Action, world: World) -> str:
    name = world.fleet(action.target)
    body = {
        "apiVersion": labels.API_VERSION,
        "kind": labels.FLEET_KIND,
        "metadata": {"name": name, "namespace": world.namespace},
        "spec": without_nulls(action.body),
    }
    world.cluster.api.create(world.path(labels.FLEET_PLURAL), body)
    return f"created {name}"


def _edit(action: Action, world: World) -> str:
    name = world.fleet(action.target)
    world.did("edit", name, ())
    world.cluster.api.merge(world.path(labels.FLEET_PLURAL, name), {"spec": action.body})
    return f"edited {name}"


def _delete_fleet(action: Action, world: World) -> str:
    name = world.fleet(action.target)
    world.did("delete fleet", name, ())
    world.cluster.api.delete(world.path(labels.FLEET_PLURAL, name), propagationPolicy=action.text)
    return f"deleted {name}"


def _annotate(action: Action, world: World) -> str:
    name = world.fleet(action.target)
    world.did("edit", name, ())
    marks = {f"{labels.GROUP}/{action.text}": datetime.now(UTC).isoformat(timespec="seconds")}
    world.cluster.api.merge(world.path(labels.FLEET_PLURAL, name), {"metadata": {"annotations": marks}})
    return f"{action.text} {name}"


def _scale(action: Action, world: World) -> str:
    """As kubectl scale does it."""
    name = f"{world.fleet(action.target)}-{action.text}"
    world.did("edit", world.fleet(action.target), ())
    path = f"{world.path(labels.TIER_PLURAL, name)}/scale"
    world.cluster.api.merge(path, {"spec": {"replicas": action.number}}, fieldManager="kubectl")
    return f"scaled {name} to {action.number}"


# ---- people who are in the way


def _delete_child(action: Action, world: World) -> str:
    fleet = world.fleet(action.target)
    found = chosen(world.items(action.text, fleet), action.pick)
    if found is None:
        return f"no {action.text} of {fleet}"
    name = found["metadata"]["name"]
    if FOREIGN in found["metadata"]["labels"]:
        return f"{name} is foreign"
    world.did("delete", fleet, {name})
    world.cluster.api.delete(world.path(action.text, name), propagationPolicy="Background")
    return f"deleted {action.text} {name}"


def _delete_pod(action: Action, world: World) -> str:
    fleet = world.fleet(action.target)
    found = chosen(world.items("pods", fleet), action.pick)
    if found is None:
        return f"no pod of {fleet}"
    name = found["metadata"]["name"]
    world.did("delete", fleet, {name})
    force = {"gracePeriodSeconds": "0"} if action.number else {}
    world.cluster.api.delete(world.path("pods", name), **force)
    return f"deleted pod {name}{' by force' if force else ''}"


def _steal(action: Action, world: World) -> str:
    """A foreign server-side apply by force of something that the operator renders."""
    fleet = world.fleet(action.target)
    plural, api_version, kind, body = _thefts(fleet, action.number)[action.text]
    candidates = [
        item
        for item in world.items(plural, fleet)
        if FOREIGN not in item["metadata"]["labels"] and _is_target(item, action.text)
    ]
    found = chosen(candidates, action.pick)
    if found is None:
        return f"no {plural} of {fleet}"
    name = found["metadata"]["name"]
    world.did("steal", fleet, {name})
    if plural in ("deployments", "statefulsets"):
        world.did("steal maker", fleet, {name})
    # With its UID the apply is refused where the object went meanwhile, instead of making one.
    own = {"name": name, "namespace": world.namespace, "uid": found["metadata"]["uid"]}
    manifest = {"apiVersion": api_version, "kind": kind, "metadata": own | body.pop("metadata", {})} | body
    world.cluster.api.apply(world.path(plural, name), manifest, THIEF, force=True)
    return f"stole {action.text} of {plural} {name}"


def _thefts(fleet: str, number: int) -> dict[str, tuple[str, str, str, Manifest]]:
    """Plural, API version, kind and manifest of each theft."""
    mark = {"metadata": {"annotations": {"stolen": "yes"}}}
    label = {"metadata": {"labels": {"app.kubernetes.io/managed-by": THIEF}}}
    ports = [{"name": "http", "port": 9000 + number, "targetPort": "http", "protocol": "TCP"}]
    return {
        "service-port": ("services", "v1", "Service", {"spec": {"ports": ports}}),
        "service-selector": ("services", "v1", "Service", {"spec": {"selector": {labels.STATE: "stolen"}}}),
        "deployment-replicas": ("deployments", "apps/v1", "Deployment", {"spec": {"replicas": number}}),
        "statefulset-replicas": ("statefulsets", "apps/v1", "StatefulSet", {"spec": {"replicas": number}}),
        "statefulset-template": (
            "statefulsets",
            "apps/v1",
            "StatefulSet",
            {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 7 + number}}}},
        ),
        "deployment-template": (
            "deployments",
            "apps/v1",
            "Deployment",
            {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 7 + number}}}},
        ),
        "budget": (
            "poddisruptionbudgets",
            "policy/v1",
            "PodDisruptionBudget",
            {"spec": {"maxUnavailable": 2 + number}},
        ),
        "config": ("configmaps", "v1", "ConfigMap", {"data": {"config.json": f'{{"stolen": {number}}}'}}),
        "label": ("services", "v1", "Service", label if number % 2 else mark),
    }


def _is_target(item: Manifest, what: str) -> bool:
    return what != "config" or item["metadata"]["name"].endswith("-router")


def _squat(action: Action, world: World) -> str:
    """A foreign object under a name that the fleet wants."""
    name = f"{world.fleet(action.target)}-{action.text}"
    plural = "configmaps" if action.text == "router" else "services"
    return _make_foreign(world, plural, name, {})


def _leave(action: Action, world: World) -> str:
    """A foreign object that carries the fleet's own label, for whatever reason."""
    fleet = world.fleet(action.target)
    name = f"{fleet}-notes-{action.text}"
    return _make_foreign(world, "configmaps", name, {labels.FLEET: fleet})


def _make_foreign(world: World, plural: str, name: str, more: dict[str, str]) -> str:
    body: Manifest = {"metadata": {"name": name, "labels": {FOREIGN: "yes", **more}}}
    if plural == "services":
        # Of the shape that the fleet wants, so that an operator that took it would not even be refused.
        headless = {"clusterIP": "None"} if "-large-" in name else {}
        body["spec"] = {"ports": [{"name": "web", "port": 80}], **headless}
    else:
        body["data"] = {"text": "not the fleet's"}
    made = world.cluster.api.create(world.path(plural), body)
    world.foreign[world.path(plural, name)] = made["metadata"]["uid"]
    return f"made foreign {plural} {name}"


def _quota(action: Action, world: World) -> str:
    """No further object of a kind can be made; those that exist stay."""
    name = action.text.replace(".", "-")
    hard = {f"count/{action.text}": "0"}
    world.quotas.add(name)
    with contextlib.suppress(ApiError):
        world.cluster.api.create(world.path("resourcequotas"), {"metadata": {"name": name}, "spec": {"hard": hard}})
    return f"no more {action.text}"


def _no_quota(action: Action, world: World) -> str:
    lifted = sorted(world.quotas)
    for name in lifted:
        world.cluster.api.delete(world.path("resourcequotas", name))
        world.quotas.discard(name)
    return f"lifted {', '.join(lifted) or 'nothing'}"


# ---- pods and machines


def _mark(action: Action, world: World) -> str:
    found = chosen(_engines(world, action), action.pick)
    if found is None:
        return "no pod to mark"
    name = found["metadata"]["name"]
    marks = {f"{stages.MARK}{key}": value for key, value in action.body.items()}
    world.did("mark", world.fleet(action.target), {name})
    world.cluster.api.merge(world.path("pods", name), {"metadata": {"annotations": marks}})
    return f"marked {name}"


def _unmark(action: Action, world: World) -> str:
    for pod in world.items("pods", world.fleet(action.target)):
        world.unmark(pod)
    return "unmarked"


def _busy(action: Action, world: World) -> str:
    found = chosen(_engines(world, action), action.pick)
    engine = world.centre.engines().get(found["metadata"]["name"]) if found else None
    if found is None or engine is None:
        return "no engine"
    engine.state.running = action.number
    return f"{found['metadata']['name']} runs {action.number} requests"


def _engines(world: World, action: Action) -> list[Manifest]:
    return [pod for pod in world.items("pods", world.fleet(action.target)) if labels.TIER in pod["metadata"]["labels"]]


def _node(action: Action, world: World, among: Sequence[str]) -> str | None:
    return chosen(sorted(among), action.pick)


def _cordon(action: Action, world: World) -> str:
    node = _node(action, world, world.site.machines)
    if node is None:
        return "no node"
    world.cordoned.add(node)
    nodes.cordon(world.cluster.api, node)
    return f"cordoned {node}"


def _uncordon(action: Action, world: World) -> str:
    node = _node(action, world, list(world.cordoned))
    if node is None:
        return "none is cordoned"
    nodes.cordon(world.cluster.api, node, on=False)
    world.cordoned.discard(node)
    return f"uncordoned {node}"


def _lose_node(action: Action, world: World) -> str:
    node = _node(action, world, [name for name in world.site.machines if name not in world.lost])
    if node is None:
        return "no node"
    world.did("machine", "", {node})
    places.lose(world, node)
    return f"lost {node}"


def _recover_node(action: Action, world: World) -> str:
    node = _node(action, world, list(world.lost))
    if node is None:
        return "none is lost"
    places.recover(world, node)
    return f"recovered {node}"


def _remove_node(action: Action, world: World) -> str:
    node = _node(action, world, world.site.machines)
    if node is None or len(world.site.machines) < 3:
        return "too few nodes"
    world.did("machine", "", {node})
    world.site.remove_nodes(node)
    world.lost.discard(node)
    world.cordoned.discard(node)
    return f"removed {node}"


def _add_node(_: Action, world: World) -> str:
    return f"added {world.site.add_nodes(1, labels={POOL: world.namespace})}"


def _out_of_service(action: Action, world: World) -> str:
    """What an administrator does with a machine that is certainly dead."""
    node = _node(action, world, list(world.lost))
    if node is None:
        return "none is lost"
    world.did("machine", "", {node})
    taint = {"key": labels.OUT_OF_SERVICE_TAINT, "value": "nodeshutdown", "effect": "NoExecute"}
    stored = world.cluster.api.get(f"/api/v1/nodes/{node}")
    taints = [*stored["spec"].get("taints", ()), taint]
    world.cluster.api.merge(f"/api/v1/nodes/{node}", {"spec": {"taints": taints}})
    return f"{node} is out of service"


# ---- operators and the server


def _start_operator(action: Action, world: World) -> str:
    world.crew.start(action.target)
    return f"operator {action.target} runs"


def _kill_operator(action: Action, world: World) -> str:
    world.crew.kill(action.target)
    return f"operator {action.target} killed"


def _stop_operator(action: Action, world: World) -> str:
    world.crew.kill(action.target, signal.SIGTERM)
    return f"operator {action.target} stopped"


def _freeze_operator(action: Action, world: World) -> str:
    world.crew.freeze(action.target)
    return f"operator {action.target} frozen"


def _thaw_operator(_: Action, world: World) -> str:
    for name in world.crew.slots:
        world.crew.thaw(name)
    return "thawed"


def _restart_server(_: Action, world: World) -> str:
    with places.SERVER_STAYS:
        world.cluster.components.stop("kube-apiserver")
        world.cluster.components.start("kube-apiserver")
        world.cluster.wait_until_ready(SERVER_SECONDS)
    return "the API server restarted"


def chosen(found: Sequence[T], pick: float) -> T | None:
    """The one of a sequence that a number between 0 and 1 stands for; None of an empty one."""
    ordered = sorted(found, key=_name)
    return ordered[min(int(pick * len(ordered)), len(ordered) - 1)] if ordered else None


def _name(item: object) -> str:
    return str(item["metadata"]["name"]) if isinstance(item, dict) else str(item)


def without_nulls(value: Any) -> Any:
    """A manifest without the keys that are null, which a patch may have and a new object may not."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return value


_DOINGS: dict[Kind, Callable[[Action, World], str]] = {
    Kind.CREATE: _create,
    Kind.EDIT: _edit,
    Kind.DELETE_FLEET: _delete_fleet,
    Kind.ANNOTATE: _annotate,
    Kind.SCALE: _scale,
    Kind.DELETE_CHILD: _delete_child,
    Kind.DELETE_POD: _delete_pod,
    Kind.STEAL: _steal,
    Kind.SQUAT: _squat,
    Kind.LEAVE: _leave,
    Kind.QUOTA: _quota,
    Kind.NO_QUOTA: _no_quota,
    Kind.MARK: _mark,
    Kind.UNMARK: _unmark,
    Kind.BUSY: _busy,
    Kind.CORDON: _cordon,
    Kind.UNCORDON: _uncordon,
    Kind.LOSE_NODE: _lose_node,
    Kind.RECOVER_NODE: _recover_node,
    Kind.REMOVE_NODE: _remove_node,
    Kind.ADD_NODE: _add_node,
    Kind.OUT_OF_SERVICE: _out_of_service,
    Kind.START_OPERATOR: _start_operator,
    Kind.KILL_OPERATOR: _kill_operator,
    Kind.STOP_OPERATOR: _stop_operator,
    Kind.FREEZE_OPERATOR: _freeze_operator,
    Kind.THAW_OPERATOR: _thaw_operator,
    Kind.RESTART_SERVER: _restart_server,
}
