"""What cannot be done is refused with the sentence that mends it, and what runs is left as it is."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from heterofleet.api import labels
from reconcile.operator import Operator
from reconcile.site import Site, uids_of
from testbed.controlplane import Cluster
from testbed.eventually import eventually

CRD = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{labels.FLEET_PLURAL}.{labels.GROUP}"


def step(operator: Operator, seconds: float = 1.5) -> None:
    operator.advance(seconds)
    operator.settle()


def children(site: Site) -> set[str]:
    """UIDs of a fleet's objects and pods."""
    kinds = ("statefulsets", "deployments", "services", "configmaps", "controllerrevisions", "pods")
    return {uid for kind in kinds for uid in uids_of(site.items(kind, labels.FLEET))}


@pytest.mark.parametrize("kind", ["services", "configmaps"])
def test_a_name_that_is_taken_writes_nothing_at_all_and_heals_when_it_is_free(site: Site, operator: Operator, kind):
    site.add_nodes(3)
    theirs: dict[str, Any] = {"metadata": {"name": "chat-router"}}
    if kind == "services":
        theirs["spec"] = {"ports": [{"port": 80}]}
    made = site.cluster.api.create(site.path(kind), theirs)
    site.create()
    message = site.wait("Accepted", "False", "NameTaken")
    assert "chat-router" in message
    step(operator, 35)
    assert set(operator.writes()) == {("status", labels.FLEET_KIND)}
    assert children(site) == set()
    assert site.get(kind, "chat-router")["metadata"]["uid"] == made["metadata"]["uid"]
    site.cluster.api.delete(site.path(kind, "chat-router"))
    operator.advance(35)
    site.wait_ready()


def test_a_model_that_cannot_fit_is_refused_with_the_layout_that_does_and_children_stay(ready, operator: Operator):
    placement = {"gpuProduct": "NVIDIA-A100-SXM4-80GB"}
    model = {"source": "hf://zai-org/GLM-4.5-Air"}
    site: Site = ready(large={"model": model, "placement": placement})
    assert site.condition("Accepted")[0] == "True"
    before = children(site)
    site.edit(large={"parallelism": {"tensor": 1, "pipeline": 1}})
    message = site.wait("Accepted", "False", "DoesNotFit")
    assert "use tensor" in message
    step(operator, 60)
    assert children(site) == before
    assert site.condition("Ready")[:2] == ("False", "NotAccepted")
    site.edit(large={"parallelism": {"tensor": 8, "pipeline": 2}})
    site.wait_ready()
    assert children(site) == before


@pytest.mark.parametrize("overlay", [{"spec": {"containers": "one"}}, {"metadata": {"labels": {labels.TIER: "small"}}}])
def test_an_overlay_that_cannot_be_laid_over_is_refused_and_children_stay(ready, operator: Operator, overlay):
    site: Site = ready()
    before = children(site)
    site.edit(large={"podTemplate": overlay})
    site.wait("Accepted", "False", "InvalidTemplate")
    step(operator)
    assert children(site) == before
    site.edit(large={"podTemplate": None})
    site.wait_ready()
    assert children(site) == before


def test_an_object_that_the_api_server_refuses_is_reported_and_nothing_is_pruned(ready, operator: Operator):
    site: Site = ready(nodes=5)
    before = uids_of(site.pods())
    site.edit(large={"podTemplate": {"spec": {"restartPolicy": "Never"}}})
    assert "restartPolicy" in site.wait("Degraded", "True", "ApplyFailed")
    assert before <= uids_of(site.pods())
    site.edit(large={"podTemplate": None})
    site.wait("Degraded", "False")
    assert before <= uids_of(site.pods())


def test_a_cache_that_several_pods_cannot_share_is_refused_until_there_is_one_that_they_can(site, operator: Operator):
    site.add_nodes(3)
    site.create(large={"storage": {"cache": {"persistentVolumeClaim": {"claimName": "models"}}}})
    assert "models does not exist" in site.wait("Accepted", "False", "CacheMissing")
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    site.cluster.api.create(
        site.path("persistentvolumeclaims"), {"metadata": {"name": "models"}, "spec": {**claim, "volumeName": "none"}}
    )
    operator.advance(35)
    assert "ReadWriteMany" in site.wait("Accepted", "False", "CacheNotShared")
    assert children(site) == set()


@pytest.fixture
def looser_server(site: Site) -> Iterator[Cluster]:
    """For one test the API server takes a field that this version of the operator does not know."""
    api = site.cluster.api
    before = api.get(CRD)["spec"]["versions"]
    loose = api.get(CRD)["spec"]["versions"]
    loose[0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["future"] = {"type": "string"}
    api.merge(CRD, {"spec": {"versions": loose}})
    yield site.cluster
    api.merge(CRD, {"spec": {"versions": before}})

    def is_strict() -> bool:
        api.merge(site.path(labels.FLEET_PLURAL, "chat"), {"spec": {"future": "x"}})
        return "future" not in site.fleet()["spec"]

    eventually(is_strict)


def test_a_stored_fleet_that_no_longer_parses_is_reported_and_loses_nothing(ready, looser_server, operator: Operator):
    site: Site = ready()
    before = children(site)

    numbers = itertools.count()

    def takes_the_field() -> bool:
        """A watch that was opened before goes on leaving the field out, so that one edit may go unseen."""
        taken = "future" in site.edit(future=f"x{next(numbers)}")["spec"]
        return taken and site.condition("Accepted")[:2] == ("False", "InvalidSpec")

    site.eventually(takes_the_field)
    message = site.wait("Accepted", "False", "InvalidSpec")
    assert "spec.future" in message
    site.cluster.api.delete(site.path("pods", "chat-large-0-0"), gracePeriodSeconds="0")
    step(operator, 120)
    operator.restart()
    step(operator, 120)
    assert uids_of(site.items("statefulsets")) <= before
    assert site.instances() == {0: "Ready"}, "what was known stays told"
    site.edit(future=None)
    site.wait_ready()


def test_a_status_that_somebody_spoilt_is_written_anew(ready, operator: Operator):
    site: Site = ready()
    body = {"status": {"large": {"override": None, "instances": [{"index": 0, "state": "Dreaming"}]}}}
    site.cluster.api.merge(f"{site.path(labels.FLEET_PLURAL, 'chat')}/status", body)
    site.eventually(lambda: site.instances() == {0: "Ready"})
    site.wait_ready()


def test_a_missing_secret_is_reported_with_its_name_and_heals_by_itself(site, operator: Operator):
    site.add_nodes(3)
    marks = {
        "testbed.heterofleet.io/waiting": "CreateContainerConfigError",
        "testbed.heterofleet.io/waiting-message": 'secret "hf" not found',
    }
    site.create(large={"podTemplate": {"metadata": {"annotations": marks}}})
    site.wait("Degraded", "True", "SecretMissing")
    site.eventually(lambda: site.condition("Degraded")[2] == 'secret "hf" not found (2 pods)')
    assert site.condition("LargeTierReady")[:2] == ("False", "SecretMissing")
    before = uids_of(site.large_pods())
    for pod in site.large_pods():
        site.mark(pod["metadata"]["name"], waiting=None)
    site.wait_ready()
    assert site.condition("Degraded")[0] == "False"
    assert uids_of(site.large_pods()) == before


def test_a_missing_ring_of_keys_is_reported_of_the_engines_that_wait_for_it(site, operator: Operator):
    site.add_nodes(3)
    marks = {"testbed.heterofleet.io/waiting": "ContainerCreating"}
    site.create(engineKeys={"secret": "ring"}, large={"podTemplate": {"metadata": {"annotations": marks}}})
    site.eventually(lambda: [pod["spec"].get("nodeName") is not None for pod in site.large_pods()] == [True, True])
    for pod in site.large_pods():
        unmounted = {"type": "PodReadyToStartContainers", "status": "False"}
        conditions = [*pod["status"].get("conditions", ()), unmounted]
        path = f"{site.path('pods', pod['metadata']['name'])}/status"
        site.cluster.api.merge(path, {"status": {"conditions": conditions}})
    step(operator, 40)
    assert "is there a Secret ring?" in site.wait("LargeTierReady", "False", "SecretMissing")


def test_an_image_that_cannot_be_pulled_is_reported(ready, operator: Operator):
    site: Site = ready()
    pod = site.small_pods()[0]["metadata"]["name"]
    site.mark(pod, waiting="ImagePullBackOff", waiting_message='Back-off pulling image "engine:typo"')
    assert "engine:typo" in site.wait("Degraded", "True", "ImageNotPulled")


def test_suspend_stops_every_write_but_status(ready, operator: Operator):
    site: Site = ready(small={"instances": {"min": 2}})
    site.edit(suspend=True)
    site.wait("Ready", "True", "Suspended")
    operator.settle()
    operator.writes()
    site.edit(small={"instances": {"min": 1}}, large={"engine": {"maxModelLen": 4096}})
    service = site.path("services", "chat-small")
    site.cluster.api.delete(service)
    site.cluster.api.delete(site.path("pods", "chat-large-0-1"), gracePeriodSeconds="0")
    step(operator, 120)
    assert {verb for verb, _ in operator.writes()} <= {"status"}
    assert site.cluster.api.find(service) is None
    assert len(site.small_pods()) == 2
    site.edit(suspend=False, large={"engine": {"maxModelLen": None}})
    site.eventually(lambda: site.cluster.api.find(service))
    for _ in range(3):
        step(operator)
    site.eventually(lambda: len(site.small_pods()) == 1)


def test_a_field_of_ours_that_somebody_changed_is_taken_back_and_its_writer_named(ready, operator: Operator):
    site: Site = ready()
    operator.settle()
    site.cluster.kubectl("scale", "statefulset/chat-large-0", "--replicas=1", "-n", site.namespace)
    site.eventually(lambda: site.get("statefulsets", "chat-large-0")["spec"]["replicas"] == 2)
    site.eventually(lambda: any("kubectl" in message for message in site.events("FieldTakenBack")))
    theirs = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "chat-small", "labels": {"team": "search"}, "annotations": {"their/own": "x"}},
        "spec": {"selector": {labels.STATE: "draining"}},
    }
    site.cluster.api.apply(site.path("services", "chat-small"), theirs, "a-tool", force=True)
    site.eventually(lambda: site.get("services", "chat-small")["spec"]["selector"][labels.STATE] == "serving")
    site.eventually(lambda: any("a-tool" in message for message in site.events("FieldTakenBack")))
    operator.settle()
    metadata = site.get("services", "chat-small")["metadata"]
    assert (metadata["labels"]["team"], metadata["annotations"]["their/own"]) == ("search", "x")


def test_an_overlay_has_the_last_word(site, operator: Operator):
    site.add_nodes(3)
    overlay = {
        "metadata": {"labels": {"team": "search"}, "annotations": {"their/own": "x"}},
        "spec": {"terminationGracePeriodSeconds": 7, "containers": [{"name": "engine", "imagePullPolicy": "Never"}]},
    }
    site.create(large={"podTemplate": overlay})
    site.wait_ready()
    pod = site.large_pods()[0]
    assert pod["metadata"]["labels"]["team"] == "search"
    assert pod["metadata"]["annotations"]["their/own"] == "x"
    assert pod["spec"]["terminationGracePeriodSeconds"] == 7
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == "Never"
