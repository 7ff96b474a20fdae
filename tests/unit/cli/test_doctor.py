"""`heterofleet doctor`: what is right, what is not, and what to do about it."""

import copy
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest

from heterofleet.api import crd
from heterofleet.api.labels import Manifest
from heterofleet.cli import doctor
from heterofleet.cli.checks import nodes, operator, rights, server, surroundings
from heterofleet.cli.checks.result import Check, Question, Result, Verdict
from unit.cli import stored
from unit.cli.stored import StoredApi

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
LEASES = "/apis/coordination.k8s.io/v1/leases"
FLEETS, TIERS = crd.definitions()


def items(*objects: Manifest) -> Manifest:
    return {"items": list(objects)}


def node(name: str, gpus: int = 8, product: str = "NVIDIA-A100-SXM4-80GB", *, ready: bool = True) -> Manifest:
    labels = {"nvidia.com/gpu.product": product} if product else {}
    return {
        "metadata": {"name": name, "uid": name, "resourceVersion": "1", "labels": labels},
        "spec": {},
        "status": {
            "allocatable": {"cpu": "64", **({"nvidia.com/gpu": str(gpus)} if gpus else {})},
            "conditions": [{"type": "Ready", "status": str(ready), "lastTransitionTime": stored.ago(hours=1)}],
        },
    }


def healthy() -> dict[str, Any]:
    """A cluster that has all that a fleet needs."""
    now = datetime.now(UTC).isoformat()
    return {
        "/version": {"major": "1", "minor": "37", "gitVersion": "v1.37.2"},
        f"{DEFINITIONS}/heterogeneousdeployments.heterofleet.io": FLEETS,
        f"{DEFINITIONS}/heterogeneoustiers.heterofleet.io": TIERS,
        "/apis/heterofleet.io/v1alpha1": {
            "resources": [{"name": "heterogeneousdeployments"}, {"name": "heterogeneoustiers"}]
        },
        LEASES: items(stored.lease(now, "operator-0")),
        "/api/v1/nodes": items(node("a"), node("b"), node("c", gpus=0)),
        "/apis/storage.k8s.io/v1/storageclasses": items({"metadata": {"name": "fs"}, "provisioner": "efs.csi.aws.com"}),
        "/api/v1/services": items({"metadata": {"name": "kube-dns"}}),
        "/apis/apps/v1/daemonsets": items({"metadata": {"name": "cilium"}}),
        "/apis/apps/v1/deployments": items(),
        "/apis": {"groups": [{"versions": [{"groupVersion": "monitoring.coreos.com/v1"}]}]},
    }


def ask(**changed: Any) -> Question:
    """A healthy cluster but for some paths; None takes one away."""
    objects = {path: body for path, body in {**healthy(), **changed}.items() if body is not None}
    return Question(StoredApi(objects), "prod")


async def told(check: Check, question: Question) -> list[tuple[str, str, str]]:
    found: Iterable[Result] = await check(question)
    return [(str(result.verdict), result.finding, result.advice) for result in found]


async def test_a_cluster_that_has_everything_is_told_so() -> None:
    results = await doctor.examine(ask())
    assert [(result.subject, str(result.verdict), result.finding) for result in results] == [
        ("Kubernetes", "ok", "v1.37.2"),
        ("HeterogeneousDeployment", "ok", "v1alpha1 is served"),
        ("HeterogeneousTier", "ok", "v1alpha1 is served"),
        ("Operator", "ok", "operator-0 in heterofleet-system was seen just now"),
        ("Your rights", "ok", "you may see and change fleets in namespace prod"),
        ("GPUs", "ok", "16 nvidia.com/gpu on 2 nodes"),
        ("GPU product", "ok", "NVIDIA-A100-SXM4-80GB (2 nodes)"),
        ("Storage", "ok", "fs can probably give ReadWriteMany claims"),
        ("DNS", "ok", "kube-dns answers for Services"),
        ("NetworkPolicy", "ok", "enforced, it seems, by cilium"),
        ("Prometheus", "ok", "PodMonitors and PrometheusRules are made for each fleet"),
        ("Gang scheduling", "ok", "groups are placed whole by the operator, which waits for room for all"),
    ]


@pytest.mark.parametrize(("minor", "verdict"), [("29", "fail"), ("30+", "ok"), ("38", "ok")])
async def test_a_server_older_than_supported_fails(minor: str, verdict: str) -> None:
    version = {"major": "1", "minor": minor, "gitVersion": f"v1.{minor}.0"}
    assert (await told(server.version, ask(**{"/version": version})))[0][0] == verdict


async def test_definitions_that_are_missing_fail_and_older_ones_warn() -> None:
    older = copy.deepcopy(FLEETS)
    del older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["suspend"]
    changed = {
        f"{DEFINITIONS}/heterogeneousdeployments.heterofleet.io": older,
        f"{DEFINITIONS}/heterogeneoustiers.heterofleet.io": None,
    }
    (fleets, tiers) = await told(server.definitions, ask(**changed))
    assert fleets[:2] == ("warn", "the installed definition is older than this command and lacks spec.suspend")
    assert tiers[:2] == ("fail", "its CustomResourceDefinition is not installed")


async def test_who_may_not_read_definitions_learns_what_is_served() -> None:
    path = f"{DEFINITIONS}/heterogeneousdeployments.heterofleet.io"
    api = StoredApi(healthy(), forbidden=(path,))
    assert (await told(server.definitions, Question(api, "prod")))[0][:2] == ("ok", "v1alpha1 is served")


async def test_an_operator_that_is_not_seen_fails_with_the_next_step() -> None:
    old = items(stored.lease("2026-01-01T00:00:00Z"))
    deployment = {"metadata": {"name": "op", "namespace": "hf"}, "spec": {"replicas": 0}}
    (stopped,) = await told(operator.running, ask(**{LEASES: old, "/apis/apps/v1/deployments": items(deployment)}))
    assert stopped[0] == "fail"
    assert stopped[2] == "it has no replicas: kubectl scale deployment op --namespace hf --replicas 2"
    (never,) = await told(operator.running, ask(**{LEASES: items()}))
    assert never[:2] == ("fail", "has never run here")
    assert never[2].startswith("install it: helm install")


@pytest.mark.parametrize(
    ("having", "expected"),
    [
        ((), [("fail", "none of 0 nodes offers GPUs")]),
        ((node("a", gpus=0),), [("fail", "none of 1 node offers GPUs")]),
        (
            (node("a", ready=False),),
            [("fail", "1 node with GPUs, all cordoned or not ready"), ("ok", "NVIDIA-A100-SXM4-80GB (1 node)")],
        ),
        (
            (node("a"), node("b", ready=False)),
            [
                ("ok", "8 nvidia.com/gpu on 1 node; 1 more are cordoned or not ready"),
                ("ok", "NVIDIA-A100-SXM4-80GB (2 nodes)"),
            ],
        ),
        (
            (node("a", product=""),),
            [
                ("ok", "8 nvidia.com/gpu on 1 node"),
                (
                    "warn",
                    "no node has the label nvidia.com/gpu.product, so that fit cannot be checked against what is there",
                ),
            ],
        ),
        (
            (node("a"), node("b", product="")),
            [
                ("ok", "16 nvidia.com/gpu on 2 nodes"),
                (
                    "warn",
                    "NVIDIA-A100-SXM4-80GB (1 node); 1 node with GPUs but without the label nvidia.com/gpu.product",
                ),
            ],
        ),
        (
            (node("a", product="ACME-9000"),),
            [
                ("ok", "8 nvidia.com/gpu on 1 node"),
                ("warn", "ACME-9000 (1 node); the memory of ACME-9000 is not known"),
            ],
        ),
    ],
)
async def test_gpus_are_counted_where_they_can_be_used(
    having: tuple[Manifest, ...], expected: list[tuple[str, str]]
) -> None:
    found = await told(nodes.gpus, ask(**{"/api/v1/nodes": items(*having)}))
    assert [(verdict, finding) for verdict, finding, _ in found] == expected


@pytest.mark.parametrize(
    ("denied", "verdict", "finding"),
    [
        (("patch", "heterogeneoustiers"), "warn", "patch heterogeneoustiers, patch heterogeneoustiers/scale"),
        (("list", "pods"), "fail", "list pods"),
    ],
)
async def test_a_right_that_is_missing_is_named(denied: tuple[str, str], verdict: str, finding: str) -> None:
    api = StoredApi(healthy())
    api.denied = frozenset({denied})
    (found,) = await told(rights.own, Question(api, "prod"))
    assert found[:2] == (verdict, f"in namespace prod you may not {finding}")


@pytest.mark.parametrize(
    ("names", "verdict", "finding"),
    [
        (["calico-node"], "ok", "enforced, it seems, by calico-node"),
        (["aws-node"], "warn", "aws-node enforces them only when asked"),
        (["kube-flannel-ds"], "warn", "kube-flannel-ds does not enforce them"),
        ([], "warn", "no network plugin that enforces them was recognised"),
    ],
)
async def test_network_policies_mean_something_only_where_they_are_enforced(
    names: list[str], verdict: str, finding: str
) -> None:
    daemonsets = items(*({"metadata": {"name": name}} for name in names))
    (found,) = await told(surroundings.network_policies, ask(**{"/apis/apps/v1/daemonsets": daemonsets}))
    assert found[:2] == (verdict, finding)


async def test_what_may_not_be_read_is_a_warning_and_no_end() -> None:
    forbidden = tuple(path for path in healthy() if path not in ("/version", "/apis/heterofleet.io/v1alpha1"))
    results = await doctor.examine(Question(StoredApi(healthy(), forbidden=forbidden), "prod"))
    assert {result.verdict for result in results} == {Verdict.OK, Verdict.WARN}
    assert all(result.advice for result in results if result.verdict is Verdict.WARN)


async def test_optional_apis_are_named_where_they_are_missing() -> None:
    groups = {"groups": [{"versions": [{"groupVersion": "scheduling.k8s.io/v1beta1"}]}]}
    gangs = {"resources": [{"name": "podgroups"}]}
    question = ask(**{"/apis": groups, "/apis/scheduling.k8s.io/v1beta1": gangs})
    prometheus, scheduling = await told(server.optional, question)
    assert prometheus[0] == "warn"
    assert scheduling[1] == "groups are placed whole by the scheduler (PodGroup)"
