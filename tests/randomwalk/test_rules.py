"""Each rule sees what breaks it in a history made by hand, and leaves a sound history alone."""

from typing import Any

import pytest

from heterofleet.api import labels
from randomwalk import rules
from randomwalk.history import Deed, Event
from randomwalk.rules import Rule, Story, Violation
from randomwalk.written import Write

FLEET = "chat"
START = 1_000_000.0


def event(version: int, kind: str, change: str, name: str, *, seen: float | None = None, **body: Any) -> Event:
    """One event of the fleet; `uid` in the body or made of kind and name."""
    own = {labels.FLEET: FLEET, **body.pop("labels", {})}
    metadata = {"name": name, "labels": own, **body.pop("metadata", {})}
    uid = body.pop("uid", f"{kind}/{name}")
    return Event(version, kind, change, name, uid, {"metadata": metadata, **body}, seen or START + version)


def fleet(version: int, budget: int | None, *, generation: int = 1, observed: int = 1) -> Event:
    change = "ADDED" if generation == 1 and observed == 0 else "MODIFIED"
    body: dict[str, Any] = {"spec": {"scaling": {"gpuBudget": budget}}, "status": {"observedGeneration": observed}}
    return event(version, labels.FLEET_KIND, change, FLEET, metadata={"generation": generation}, **body)


def pod(version: int, name: str, *, change: str = "ADDED", state: str = "serving", **more: Any) -> Event:
    tier = {labels.TIER: "small", labels.STATE: state} | more.pop("labels", {})
    spec = {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "2"}}}]}
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    return event(version, "Pod", change, name, labels=tier, spec=spec, status=status, **more)


def group(version: int, change: str, index: int, uid: str, replicas: int = 2) -> Event:
    own = {labels.TIER: "large", labels.INSTANCE: str(index)}
    spec = {"replicas": replicas, "template": {"spec": {"containers": []}}}
    return event(version, "StatefulSet", change, f"{FLEET}-large-{index}", labels=own, uid=uid, spec=spec)


def broken(events: list[Event], *, deeds: tuple[Deed, ...] = (), writes: tuple[Write, ...] = ()) -> list[Rule]:
    foreign = frozenset(e.uid for e in events if e.uid.startswith("foreign"))
    judged: list[Violation] = rules.judge(Story(events, list(deeds), list(writes), foreign))
    return [violation.rule for violation in judged]


def test_a_pod_beyond_the_budget_breaks_it() -> None:
    events = [fleet(1, 4, observed=0), pod(2, "x"), pod(3, "y")]
    assert broken(events) == []
    assert broken([*events, pod(4, "z")]) == [Rule.BUDGET]


def test_a_lowered_budget_binds_only_when_it_has_once_been_kept() -> None:
    lowered = [fleet(1, 6, observed=0), pod(2, "x"), pod(3, "y"), fleet(4, 2, generation=2, observed=1)]
    assert broken([*lowered, pod(5, "z")]) == []
    gone = [
        pod(6, "x", change="DELETED"),
        fleet(7, 2, generation=2, observed=2),
        fleet(20, 2, generation=2, observed=2),
    ]
    assert broken([*lowered, *gone, pod(21, "z")]) == [Rule.BUDGET]


def test_a_small_pod_that_somebody_else_deletes_is_not_counted_while_it_ends() -> None:
    going = pod(3, "x", change="MODIFIED", metadata={"deletionTimestamp": "now"})
    events = [fleet(1, 2, observed=0), pod(2, "x"), going, pod(4, "y")]
    deed = Deed(START + 2, "delete", FLEET, frozenset({"x"}))
    assert Rule.BUDGET in broken(events)
    assert broken(events, deeds=(deed,)) == []


def test_an_edited_group_breaks_a_rule_unless_the_walk_edited_it() -> None:
    budget = event(1, "PodDisruptionBudget", "ADDED", f"{FLEET}-large-0", labels={labels.INSTANCE: "0"})
    events = [budget, group(2, "ADDED", 0, "first"), group(3, "MODIFIED", 0, "first", replicas=3)]
    assert broken(events) == [Rule.TEMPLATES]
    deed = Deed(START, "steal", FLEET, frozenset({f"{FLEET}-large-0"}))
    assert broken(events, deeds=(deed,)) == []


def test_an_index_is_free_only_when_the_last_object_of_the_old_one_is_gone() -> None:
    old = event(1, "PodDisruptionBudget", "ADDED", f"{FLEET}-large-0", labels={labels.INSTANCE: "0"}, uid="old")
    gone = event(4, "PodDisruptionBudget", "DELETED", f"{FLEET}-large-0", labels={labels.INSTANCE: "0"}, uid="old")
    new = event(5, "PodDisruptionBudget", "ADDED", f"{FLEET}-large-0", labels={labels.INSTANCE: "0"}, uid="new")
    begin = [old, group(2, "ADDED", 0, "first"), group(3, "DELETED", 0, "first")]
    assert broken([*begin, gone, new, group(6, "ADDED", 0, "second")]) == []
    assert broken([*begin, group(6, "ADDED", 0, "second")]) == [Rule.INDEXES]


def test_a_pod_that_served_goes_only_after_its_mark() -> None:
    serving = [fleet(0, None, observed=0), pod(1, "x"), pod(2, "x", change="MODIFIED", seen=START + 30)]
    going = pod(3, "x", change="MODIFIED", seen=START + 60, metadata={"deletionTimestamp": "now"})
    marked = pod(4, "x", change="MODIFIED", state="draining", seen=START + 59)
    assert broken([*serving, going]) == [Rule.DRAINS]
    assert broken([*serving, marked, going]) == []
    deed = Deed(START + 58, "delete", FLEET, frozenset({"x"}))
    assert broken([*serving, going], deeds=(deed,)) == []


def rank(version: int, index: int, *, ready: bool = True, going: bool = False, seen: float) -> Event:
    """A rank of the first group."""
    name = f"{FLEET}-large-0"
    own = {labels.TIER: "large", labels.INSTANCE: "0", labels.STATE: "serving"}
    metadata: dict[str, Any] = {"ownerReferences": [{"name": name, "uid": "first"}]}
    metadata |= {"deletionTimestamp": "now"} if going else {}
    status = {"conditions": [{"type": "Ready", "status": str(ready)}]}
    change = "ADDED" if seen == START else "MODIFIED"
    return event(
        version,
        "Pod",
        change,
        f"{name}-{index}",
        labels=own,
        metadata=metadata,
        spec={"containers": []},
        status=status,
        seen=seen,
    )


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_group_with_a_rank_that_is_not_ready_may_go_whichever_rank_goes_first(order: tuple[int, int]) -> None:
    begin = [fleet(0, None, observed=0), group(1, "ADDED", 0, "first"), rank(3, 0, seen=START), rank(4, 1, seen=START)]
    unready = rank(5, 1, ready=False, seen=START + 30)
    deleted = group(6, "DELETED", 0, "first")._replace(seen=START + 31)

    def going(last: bool) -> list[Event]:
        states = {0: True, 1: last}
        return [
            rank(7 + place, index, ready=states[index], going=True, seen=START + 32 + place)
            for place, index in enumerate(order)
        ]

    assert broken([*begin, unready, deleted, *going(False)]) == []
    assert broken([*begin, deleted, *going(True)]) == [Rule.DRAINS, Rule.DRAINS]


def test_a_deployment_comes_after_its_template() -> None:
    own = {labels.TIER: "small", labels.REVISION: "0a"}
    template = event(1, "ControllerRevision", "ADDED", f"{FLEET}-small-0a")
    service = event(3, "Service", "ADDED", f"{FLEET}-small")
    spec = {"replicas": 1, "template": {"spec": {"containers": []}}}
    deployment = event(4, "Deployment", "ADDED", f"{FLEET}-small-default-0a", labels=own, spec=spec)
    assert broken([template, service, deployment]) == []
    assert broken([template, deployment]) == [Rule.ORDER]
    assert broken([deployment, template, service]) == [Rule.ORDER, Rule.ORDER]


def test_nothing_is_deleted_right_after_a_refused_apply() -> None:
    refused = Write(START, "one", "patch", "services", f"{FLEET}-large-1", 403)
    prune = Write(START + 0.1, "one", "delete", "services", f"{FLEET}-large-0", 200)
    lease = Write(START - 1, "one", "create", "leases", "x", 201)
    assert broken([fleet(1, None)], writes=(lease, refused, prune)) == [Rule.PRUNES]
    later = prune._replace(at=START + 2)
    assert broken([fleet(1, None)], writes=(lease, refused, later)) == []


def test_only_who_wrote_the_lease_last_may_write() -> None:
    lease = Write(START, "one", "update", "leases", "x", 200)
    write = Write(START + 1, "two", "patch", "services", "y", 200)
    conflict = Write(START + 0.5, "two", "update", "leases", "x", 409)
    assert broken([], writes=(lease, conflict, write)) == [Rule.LEADER]
    assert broken([], writes=(lease, conflict._replace(code=200), write)) == []


def test_a_foreign_object_stays_as_it_was_made() -> None:
    made = event(1, "ConfigMap", "ADDED", "notes", uid="foreign")
    assert broken([made, event(9, "ConfigMap", "MODIFIED", "notes", uid="foreign")]) == [Rule.FOREIGN]
    gone = event(2, "ConfigMap", "DELETED", "notes", uid="foreign")
    assert broken([made, gone]) == [Rule.FOREIGN]
    deed = Deed(START + 1, "delete foreign", "", frozenset({"notes"}))
    assert broken([made, gone], deeds=(deed,)) == []
