"""The podTemplate overlay: the user's last word, but for what keeps the fleet together."""

from typing import Any

import pytest

from heterofleet.desired import overlay
from heterofleet.desired.overlay import InvalidOverlay

LABELS = {"heterofleet.io/fleet": "chat", "app.kubernetes.io/name": "heterofleet"}


def container(**more: Any) -> dict[str, Any]:
    return {"name": "engine", "image": "vllm:1", "args": ["serve", "x"], **more}


def body(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"labels": LABELS}, "spec": {"containers": [container()], **spec}}


def laid_over(base: dict[str, Any], **spec: Any) -> Any:
    return overlay.apply(base, {"spec": spec}, "engine")["spec"]


def test_no_overlay_changes_nothing() -> None:
    assert overlay.apply(body(), None, "engine") == body()
    assert overlay.apply(body(), {}, "engine") == body()


def test_maps_merge_and_null_deletes() -> None:
    base = body(nodeSelector={"a": "1", "b": "2"})
    assert laid_over(base, nodeSelector={"a": None, "c": "3"})["nodeSelector"] == {"b": "2", "c": "3"}


def test_patch_replace_takes_a_map_whole_and_patch_delete_removes_it() -> None:
    base = body(nodeSelector={"a": "1"}, securityContext={"runAsUser": 1})
    result = laid_over(base, nodeSelector={"$patch": "replace", "c": "3"}, securityContext={"$patch": "delete"})
    assert result == body(nodeSelector={"c": "3"})["spec"]


def test_containers_merge_by_name_and_new_ones_are_added() -> None:
    result = laid_over(body(), containers=[{"name": "engine", "image": "vllm:2"}, {"name": "side", "image": "s"}])
    assert result["containers"] == [container(image="vllm:2"), {"name": "side", "image": "s"}]


def test_lists_without_a_merge_key_are_replaced() -> None:
    base = body(tolerations=[{"key": "a", "operator": "Exists"}])
    result = laid_over(base, containers=[{"name": "engine", "args": ["only"]}], tolerations=[])
    assert result == {"containers": [container(args=["only"])], "tolerations": []}


@pytest.mark.parametrize(
    ("name", "key", "other"),
    [
        ("env", "name", "value"),
        ("volumeMounts", "mountPath", "subPath"),
        ("ports", "containerPort", "name"),
    ],
)
def test_lists_of_a_container_merge_by_their_key(name: str, key: str, other: str) -> None:
    base = body()
    base["spec"]["containers"] = [container(**{name: [{key: "one", other: "1"}, {key: "two", other: "2"}]})]
    patch = [{key: "two", other: "3"}, {key: "one", "$patch": "delete"}, {key: "new", other: "4"}]
    result = laid_over(base, containers=[{"name": "engine", name: patch}])
    assert result["containers"][0][name] == [{key: "two", other: "3"}, {key: "new", other: "4"}]


def test_an_item_with_patch_replace_empties_the_list_before_it() -> None:
    base = body(volumes=[{"name": "a", "emptyDir": {}}])
    result = laid_over(base, volumes=[{"$patch": "replace"}, {"name": "b", "emptyDir": {}}])
    assert result["volumes"] == [{"name": "b", "emptyDir": {}}]


def test_a_volume_given_another_source_loses_the_one_it_had() -> None:
    base = body(volumes=[{"name": "cache", "emptyDir": {}}, {"name": "shm", "emptyDir": {"medium": "Memory"}}])
    patch = [{"name": "cache", "hostPath": {"path": "/x"}}, {"name": "shm", "emptyDir": {"sizeLimit": "1Gi"}}]
    assert laid_over(base, volumes=patch)["volumes"] == [
        {"name": "cache", "hostPath": {"path": "/x"}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
    ]


def test_a_variable_given_a_value_loses_its_source() -> None:
    base = body()
    base["spec"]["containers"] = [container(env=[{"name": "IP", "valueFrom": {"fieldRef": {}}}])]
    result = laid_over(base, containers=[{"name": "engine", "env": [{"name": "IP", "value": "1.2.3.4"}]}])
    assert result["containers"][0]["env"] == [{"name": "IP", "value": "1.2.3.4"}]


def test_a_probe_given_another_handler_keeps_its_times() -> None:
    base = body()
    base["spec"]["containers"] = [container(livenessProbe={"httpGet": {"path": "/live"}, "periodSeconds": 10})]
    result = laid_over(base, containers=[{"name": "engine", "livenessProbe": {"exec": {"command": ["true"]}}}])
    assert result["containers"][0]["livenessProbe"] == {"exec": {"command": ["true"]}, "periodSeconds": 10}


def test_labels_and_annotations_are_added() -> None:
    result = overlay.apply(body(), {"metadata": {"labels": {"team": "a"}, "annotations": {"b": "c"}}}, "engine")
    assert result["metadata"] == {"labels": {**LABELS, "team": "a"}, "annotations": {"b": "c"}}


def test_what_was_rendered_is_not_edited_in_place() -> None:
    base = body(nodeSelector={"a": "1"})
    laid_over(base, nodeSelector={"a": None}, containers=[{"name": "engine", "image": None}])
    assert base == body(nodeSelector={"a": "1"})


@pytest.mark.parametrize(
    ("patch", "sentence"),
    [
        (
            {"metadata": {"labels": {"heterofleet.io/fleet": "x"}}},
            "podTemplate sets the label heterofleet.io/fleet, by which the fleet finds its pods: choose another name",
        ),
        (
            {"metadata": {"labels": None}},
            "podTemplate sets the label heterofleet.io/fleet, by which the fleet finds its pods: choose another name",
        ),
        (
            {"metadata": {"labels": {"heterofleet.io/instance": "7"}}},
            "podTemplate sets the label heterofleet.io/instance, by which the fleet finds its pods: choose another"
            " name",
        ),
        (
            {"spec": {"containers": [{"name": "engine", "$patch": "delete"}]}},
            "podTemplate removes the container 'engine': keep it, since it is what serves",
        ),
        (
            {"spec": None},
            "podTemplate removes the container 'engine': keep it, since it is what serves",
        ),
        (
            {"containers": []},
            "podTemplate has metadata and spec only, not containers: move it under spec",
        ),
        (
            {"metadata": {"name": "x"}},
            "podTemplate.metadata holds labels and annotations only, not name",
        ),
        (
            {"metadata": ["x"]},
            "podTemplate.metadata is ['x'], but a map is needed here",
        ),
        (
            {"spec": {"containers": {"engine": {}}}},
            "podTemplate.spec.containers is {'engine': {}}, but a list is needed here",
        ),
        (
            {"spec": {"containers": [{"image": "x"}]}},
            "podTemplate.spec.containers[0] has no name: add it, since containers are merged by it",
        ),
        (
            {"spec": {"containers": ["engine"]}},
            "podTemplate.spec.containers[0] is 'engine', but a map with name is needed here",
        ),
        (
            {"spec": {"nodeSelector": {"$patch": "remove"}}},
            "podTemplate.spec.nodeSelector.$patch is 'remove': use merge or replace, or null to delete",
        ),
    ],
)
def test_a_refused_overlay_says_what_to_write_instead(patch: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidOverlay) as refused:
        overlay.apply(body(), patch, "engine")
    assert str(refused.value) == sentence
