"""Each invariant sees what breaks it, and leaves alone what policy allows."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from heterofleet.api import labels
from randomwalk import rules
from randomwalk.history import Event
from randomwalk.rules import Rule, Story
from soak.datacentre import facts, invariants, writers
from soak.datacentre.faults import Kind
from soak.datacentre.invariants import Drain, Invariant, Violation
from soak.datacentre.site import Away
from soak.datacentre.watching import Sample, ownerless
from soak.heard import How
from soak.judging import Kind as Judged
from soak.records import Record

RIGHT = Record(
    id="soak-1", life="a", began=1.0, ended=2.0, how=How.WHOLE, status=200, attempts=1, kind=Judged.RIGHT, sentence="",
    refused_connections=0, reused=False, completion_tokens=7,
)  # fmt: skip


def sample(
    at: float,
    is_: object = 2,
    told: object = 2,
    *,
    waited: float | None = 0.0,
    shared: Mapping[str, tuple[str, ...]] | None = None,
    orphans: frozenset[str] = frozenset(),
) -> Sample:
    return Sample(at, 0.1, waited, 0, {"small ready": is_}, {"small ready": told}, shared or {}, orphans)


def broken(*found: Violation) -> list[tuple[str, float | None]]:
    return [(violation.invariant, violation.at) for violation in found]


def test_a_fact_that_status_does_not_tell_for_five_seconds_is_told_once() -> None:
    late = [sample(0), *(sample(float(at), 1, 2) for at in range(1, 9))]
    assert broken(*invariants.untold(late[:7], [])) == []
    assert broken(*invariants.untold(late, [])) == [(Invariant.STATUS, 7.0)]


def test_a_fact_that_changes_again_has_its_five_seconds_anew() -> None:
    changing = [sample(float(at), at // 4, 99) for at in range(20)]
    assert broken(*invariants.untold(changing, [])) == []


def test_time_for_which_the_operator_waited_for_a_processor_is_added() -> None:
    starved = [sample(float(at), 1, 2, waited=at * 0.7) for at in range(12)]
    assert broken(*invariants.untold(starved, [])) == []
    fed = [sample(float(at), 1, 2, waited=at * 0.1) for at in range(12)]
    assert broken(*invariants.untold(fed, [])) == [(Invariant.STATUS, 6.0)]


def test_the_five_seconds_begin_when_operator_and_server_are_back() -> None:
    away = [Away(Kind.OPERATOR, 2.0, 10.0)]
    back = invariants.RETURN_SECONDS + 10.0
    late = [sample(float(at), 1, 2) for at in range(int(back) + 8)]
    assert broken(*invariants.untold(late, away)) == [(Invariant.STATUS, back + 7.0)]


def test_a_shared_field_has_two_writers() -> None:
    shared = {"deployments soak-small/f:spec/f:replicas": ("heterofleet-operator", "kubectl")}
    assert broken(*invariants.written_twice([sample(1), sample(2, shared=shared), sample(3, shared=shared)])) == [
        (Invariant.WRITERS, 2.0)
    ]


def test_only_fields_that_the_operator_shares_count() -> None:
    spec: dict[str, Any] = {"f:spec": {"f:replicas": {}, "f:template": {".": {}, "f:metadata": {"f:labels": {}}}}}
    entries = [
        {"manager": labels.FIELD_MANAGER, "fieldsV1": spec},
        {"manager": "kubectl", "fieldsV1": {"f:spec": {"f:replicas": {}, "f:template": {".": {}}}}},
        {"manager": "kwok", "fieldsV1": {"f:status": {"f:phase": {}}}},
        {"manager": "kubelet", "fieldsV1": {"f:status": {"f:phase": {}}}},
    ]
    item = {"metadata": {"managedFields": entries}}
    assert writers.shared(item) == {"/f:spec/f:replicas": ("heterofleet-operator", "kubectl")}


def test_what_stays_without_its_owner_is_an_orphan() -> None:
    left = frozenset({"pods x"})
    brief = [sample(1, orphans=left), sample(2), sample(3)]
    assert broken(*invariants.orphaned(brief)) == []
    long = [sample(float(at), orphans=left) for at in range(1, 64)]
    assert broken(*invariants.orphaned([*long, sample(70)])) == [(Invariant.ORPHANS, 62.0)]
    assert broken(*invariants.orphaned([sample(1), sample(2, orphans=left)])) == [(Invariant.ORPHANS, 2.0)]


def test_an_object_is_ownerless_when_its_controller_is_gone() -> None:
    fleet: dict[str, Any] = {"metadata": {"name": "soak", "uid": "f"}}

    def child(name: str, owner: str) -> dict[str, Any]:
        return {"metadata": {"name": name, "uid": name, "ownerReferences": [{"controller": True, "uid": owner}]}}

    found = {"statefulsets": [child("g", "f")], "pods": [child("a", "g"), child("b", "h")]}
    assert ownerless({**found, labels.FLEET_PLURAL: [fleet]}) == frozenset({"pods b"})


def planned(seen: float, small: int) -> Event:
    body = {"metadata": {}, "status": {"plan": {"small": {"instances": small}}}}
    return Event(int(seen), labels.FLEET_KIND, "MODIFIED", "soak", "u", body, seen)


def test_a_count_that_falls_within_the_hold_oscillates() -> None:
    assert broken(*invariants.oscillating([planned(1, 2), planned(2, 4), planned(5, 3)], 10)) == [
        (Invariant.COUNTS, None)
    ]
    assert broken(*invariants.oscillating([planned(1, 2), planned(2, 4), planned(13, 3)], 10)) == []
    assert broken(*invariants.oscillating([planned(1, 4), planned(2, 2), planned(3, 4)], 10)) == []


def draining_pod(seen: float, state: str, change: str = "MODIFIED") -> Event:
    metadata = {"name": "x", "labels": {labels.STATE: state}}
    body = {"metadata": metadata, "status": {"podIP": "127.0.0.9"}}
    return Event(int(seen), "Pod", change, "x", "u", body, seen)


def test_a_router_that_sends_to_a_draining_engine_is_seen() -> None:
    events = [draining_pod(100, "serving"), draining_pod(110, "draining"), draining_pod(130, "draining", "DELETED")]
    drained = invariants.drains(events)
    assert drained == [Drain("127.0.0.9:8000", 110, 130)]
    asked = [replace(RIGHT, began=began, endpoint="127.0.0.9:8000") for began in (5.0, 12.0, 20.0, 31.0)]
    assert broken(*invariants.misled(asked, drained, 100.0)) == [(Invariant.DRAINS, 20.0)]
    elsewhere = [replace(one, endpoint="127.0.0.8:8000") for one in asked]
    assert broken(*invariants.misled(elsewhere, drained, 100.0)) == []


def gpu_pod(number: int) -> Event:
    spec = {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "8"}}}]}
    body = {"metadata": {"labels": {labels.FLEET: "soak", labels.TIER: "large"}}, "spec": spec}
    return Event(number, "Pod", "ADDED", f"p{number}", f"p{number}", body, float(number))


def test_an_operator_that_ignores_the_budget_is_seen() -> None:
    fleet = {"metadata": {"labels": {}, "generation": 1}, "spec": {"scaling": {"gpuBudget": 16}}}
    created = Event(1, labels.FLEET_KIND, "ADDED", "soak", "f", fleet, 1.0)
    kept = [created, gpu_pod(2), gpu_pod(3)]
    assert [found.rule for found in rules.judge(Story(kept, [], [], frozenset()))] == []
    assert [found.rule for found in rules.judge(Story([*kept, gpu_pod(4)], [], [], frozenset()))] == [Rule.BUDGET]


def test_facts_are_read_from_pods_as_status_tells_them() -> None:
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}

    def pod(tier: str, gpus: int, **more: str) -> dict[str, Any]:
        spec = {"containers": [{"resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}]}
        return {"metadata": {"labels": {labels.TIER: tier, **more}}, "spec": spec, "status": ready}

    router = {"metadata": {"labels": {labels.COMPONENT: "router"}}, "spec": {"containers": [{}]}, "status": ready}
    status = {
        "observedGeneration": 3,
        "endpoint": "http://soak-router.team.svc:80/v1",
        "large": {"gpus": 8, "instances": [{"index": 0, "readyRanks": 1}, {"index": 1, "readyRanks": 0}]},
        "small": {"gpus": 2, "ready": 1},
        "conditions": [{"type": "RouterReady", "status": "True"}],
    }
    spec = {"router": {"service": {"port": 80}}}
    fleet = {"metadata": {"name": "soak", "namespace": "team", "generation": 3}, "spec": spec, "status": status}
    pods = [
        pod("large", 8, **{labels.INSTANCE: "0"}),
        pod("small", 1, **{labels.STATE: "serving"}),
        pod("small", 1, **{labels.STATE: "draining"}),
        router,
    ]
    assert facts.of_pods(fleet, pods) == facts.of_status(fleet)
    assert facts.of_pods(fleet, pods[:-1]) != facts.of_status(fleet)
