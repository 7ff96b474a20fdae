"""Which objects are applied, pruned, left alone, and in which order."""

from typing import Any

from heterofleet.api import labels
from heterofleet.api.labels import Manifest
from heterofleet.cluster import objects
from heterofleet.cluster.objects import Changes, Drift, Mutation, Observed, Ref
from unit.cluster.builders import OWNER_UID, child, config_map, stored


def held(*manifests: Manifest) -> dict[Ref, Observed]:
    return {Ref.of(manifest): Observed.of(manifest) for manifest in manifests}


def test_what_is_covered_is_not_written() -> None:
    wanted = config_map("a", key="1")
    assert objects.changes([wanted], held(stored(wanted)), owner_uid=OWNER_UID) == Changes()
    assert not objects.changes([wanted], held(stored(wanted)), owner_uid=OWNER_UID)


def test_what_pods_need_is_applied_before_what_makes_pods() -> None:
    kinds = ["Deployment", "StatefulSet", labels.TIER_KIND, "Service", "ControllerRevision", "ConfigMap"]
    todo = objects.changes([child(kind, "a") for kind in kinds], {}, owner_uid=OWNER_UID)
    assert [manifest["kind"] for manifest in todo.apply] == list(reversed(kinds))


def test_what_accompanies_a_group_comes_after_its_stateful_set() -> None:
    companions = [child(kind, "a") for kind in ("Service", "PodDisruptionBudget", "NetworkPolicy")]
    for companion in companions:
        companion["metadata"]["labels"] = {**companion["metadata"].get("labels", {}), labels.INSTANCE: "0"}
    todo = objects.changes([*companions, child("Deployment", "a"), child("StatefulSet", "a")], {}, owner_uid=OWNER_UID)
    kinds = [manifest["kind"] for manifest in todo.apply]
    assert kinds == ["StatefulSet", "Service", "PodDisruptionBudget", "NetworkPolicy", "Deployment"]


def test_pruning_goes_the_other_way() -> None:
    kinds = ["ServiceAccount", "ConfigMap", "Service", "StatefulSet", "Deployment"]
    found = held(*(stored(child(kind, "a")) for kind in kinds))
    todo = objects.changes([], found, owner_uid=OWNER_UID)
    assert [item.ref.kind for item in todo.prune] == list(reversed(kinds))


def test_only_our_own_and_living_objects_are_pruned() -> None:
    ours, theirs = config_map("ours"), config_map("theirs")
    going, nobodys, kept = config_map("going"), config_map("nobodys"), config_map("kept")
    found = held(
        stored(ours),
        stored(theirs, owner="another"),
        stored(nobodys, owner=None),
        stored(going, deletionTimestamp="2026-01-02T03:04:05Z"),
        stored(kept),
    )
    todo = objects.changes([], found, owner_uid=OWNER_UID, keep={Ref.of(kept)})
    assert [item.ref.name for item in todo.prune] == ["ours"]


def test_a_name_of_somebody_else_is_left_alone() -> None:
    wanted = config_map("a", key="1")
    found = held(stored(config_map("a", key="2"), owner="another"))
    assert objects.changes([wanted], found, owner_uid=OWNER_UID) == Changes(taken=(Ref.of(wanted),))


def test_drift_is_applied_and_named() -> None:
    wanted = config_map("a", key="1")
    found = held(stored(config_map("a", key="2")))
    assert objects.changes([wanted], found, owner_uid=OWNER_UID) == Changes(
        apply=(wanted,), drifted=(Drift(Ref.of(wanted), ("data.key",)),)
    )


def test_what_admission_changes_is_reported_and_not_repeated() -> None:
    wanted = config_map("a", key="1")
    ref = Ref.of(wanted)
    found = held(stored(config_map("a", key="mutated")))
    known = {ref: Mutation(objects.digest(wanted), frozenset({"data.key"}))}
    assert objects.changes([wanted], found, owner_uid=OWNER_UID, remembered=known) == Changes(
        mutated=(Drift(ref, ("data.key",)),)
    )


def test_a_remembered_mutation_hides_no_other_drift() -> None:
    wanted = config_map("a", key="1", other="1")
    ref = Ref.of(wanted)
    found = held(stored(config_map("a", key="mutated", other="stolen")))
    known = {ref: Mutation(objects.digest(wanted), frozenset({"data.key"}))}
    todo = objects.changes([wanted], found, owner_uid=OWNER_UID, remembered=known)
    assert todo.drifted == (Drift(ref, ("data.key", "data.other")),)


def test_a_new_manifest_is_tried_whatever_admission_did_to_the_last() -> None:
    before, wanted = config_map("a", key="1"), config_map("a", key="2")
    found = held(stored(config_map("a", key="mutated")))
    known = {Ref.of(wanted): Mutation(objects.digest(before), frozenset({"data.key"}))}
    assert objects.changes([wanted], found, owner_uid=OWNER_UID, remembered=known).apply == (wanted,)


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert objects.digest({"a": 1, "b": {"c": 2, "d": 3}}) == objects.digest({"b": {"d": 3, "c": 2}, "a": 1})
    assert objects.digest({"a": 1}) != objects.digest({"a": 2})


def test_an_observed_object_drops_managed_fields_and_keeps_the_rest() -> None:
    manifest = stored(config_map("a", key="1"), version=7, managedFields=[{"manager": "x"}])
    observed = Observed.of(manifest)
    assert "managedFields" not in observed.body["metadata"]
    assert observed.body["data"] == {"key": "1"}
    assert (observed.uid, observed.resource_version, observed.owner_uid) == ("uid-1", 7, OWNER_UID)
    assert (observed.labels, observed.deleting) == ({labels.FLEET: "chat"}, False)


def managed(manager: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {"manager": manager, "operation": "Update", "fieldsV1": fields}


def test_the_manager_that_had_a_field_is_named() -> None:
    manifest = stored(
        config_map("a"),
        managedFields=[
            managed(labels.FIELD_MANAGER, {"f:spec": {"f:replicas": {}}}),
            managed("kubectl-scale", {"f:spec": {"f:replicas": {}}}),
            managed("other", {"f:spec": {"f:paused": {}}, "f:metadata": {"f:labels": {"f:app.kubernetes.io/x": {}}}}),
            managed(
                "editor",
                {"f:spec": {"f:containers": {'k:{"name":"engine"}': {".": {}, "f:image": {}}}}},
            ),
            managed("ports", {"f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {"f:targetPort": {}}}}}),
        ],
    )

    def names(path: str) -> set[str]:
        return set(objects.field_managers(manifest, [path]))

    assert names("spec.replicas") == {"kubectl-scale"}
    assert names("metadata.labels.app.kubernetes.io/x") == {"other"}
    assert names("spec.containers[engine].image") == {"editor"}
    assert names("spec.containers[router].image") == set()
    assert names("spec.ports[80,TCP].targetPort") == {"ports"}
    assert names("spec.gone") == set()
