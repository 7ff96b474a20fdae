"""The parts of the test bed that need no cluster: where its programs come from and how its processes end."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from testbed import blueprint, cache, kubernetes, ports, reaper, stages
from testbed.audit import AuditLog
from testbed.binaries import Binaries
from testbed.eventually import DeadlineError, eventually

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kwok")
BINARIES = Binaries(kube="v1.37.2", paths={name: Path("/bin") / name for name in PROGRAMS})


def test_another_kubernetes_version_takes_its_staging_modules_as_published() -> None:
    upstream = """module k8s.io/kubernetes

replace (
	k8s.io/api => ./staging/src/k8s.io/api
	k8s.io/kubelet => ./staging/src/k8s.io/kubelet
)
"""
    assert (
        kubernetes.derived_module("v1.33.4", upstream)
        == """module heterofleet.io/testbed/kubernetes

go 1.26.0

require k8s.io/kubernetes v1.33.4

replace (
	k8s.io/api => k8s.io/api v0.33.4
	k8s.io/kubelet => k8s.io/kubelet v0.33.4
)

tool (
	k8s.io/kubernetes/cmd/kube-apiserver
	k8s.io/kubernetes/cmd/kube-controller-manager
	k8s.io/kubernetes/cmd/kube-scheduler
	k8s.io/kubernetes/cmd/kubectl
)
"""
    )


@pytest.mark.parametrize("version", ["1.33.4", "v1.33", "latest"])
def test_a_version_that_is_none_is_refused(version: str) -> None:
    with pytest.raises(ValueError, match="not a Kubernetes version"):
        kubernetes.derived_module(version, "")


def test_a_product_that_failed_half_way_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def fails(folder: Path) -> None:
        (folder / "half").touch()
        raise InterruptedError

    with pytest.raises(InterruptedError):
        cache.product("thing", fails)
    made = cache.product("thing", lambda folder: (folder / "whole").touch())
    assert [path.name for path in made.iterdir()] == ["whole"]
    assert cache.product("thing", fails) == made


def test_chosen_ports_are_distinct_and_free() -> None:
    chosen = ports.free(20)
    assert len(set(chosen)) == 20


def test_a_gang_cluster_turns_on_the_gate_and_every_api() -> None:
    plain, gang = (
        blueprint.documents(blueprint.Blueprint(gang=gang), BINARIES, range(6), Path("/policy"))[0]["options"]
        for gang in (False, True)
    )
    added = {key: value for key, value in gang.items() if key not in plain}
    assert added == {"kubeFeatureGates": "GenericWorkload=true", "kubeRuntimeConfig": "api/all=true"}


def test_on_loopback_the_endpoint_controllers_are_off() -> None:
    documents = blueprint.documents(blueprint.Blueprint(loopback="127.9.0.0/16"), BINARIES, range(6), Path("/policy"))
    arguments = {
        (patch["name"], argument["key"]): argument["value"]
        for patch in documents[0]["componentsPatches"]
        for argument in patch["extraArgs"]
    }
    assert arguments["kwok-controller", "cidr"] == "127.9.0.0/16"
    assert "-endpointslice-controller" in arguments["kube-controller-manager", "controllers"].split(",")


def test_every_pod_stage_knows_the_words_it_uses() -> None:
    pod_stages = [stage for stage in stages.load() if stage["spec"]["resourceRef"]["kind"] == "Pod"]
    selectors = [expression["jq"]["key"] for stage in pod_stages for expression in _expressions(stage)]
    assert len(selectors) == len(pod_stages) == 11
    assert all(selector.startswith("# Words") for selector in selectors)


def _expressions(stage: stages.Manifest) -> list[stages.Manifest]:
    found: list[stages.Manifest] = stage["spec"]["selector"]["matchExpressions"]
    return found


def test_what_runs_from_a_cluster_folder_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    workdir = tmp_path / "cluster"
    workdir.mkdir()
    program = workdir / "etcd"
    program.symlink_to("/bin/sleep")
    # The owner starts a guard on a pipe and a component that is a daemon, says so, and waits to be killed.
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(Path(reaper.__file__)), str(workdir), str(program)],
        stdout=subprocess.PIPE,
        text=True,
    )
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "started\n"
        try:
            # A process that was just forked still has its parent's command line.
            eventually(lambda: len(reaper.processes(workdir)) == 1, 10, "the component runs")
        finally:
            owner.kill()
    eventually(lambda: not workdir.exists(), 10, "the guard removed the folder")
    assert reaper.processes(workdir) == []


_OWNER = """
import subprocess, sys, time
guard = subprocess.Popen([sys.executable, "-I", sys.argv[1], sys.argv[2]], stdin=subprocess.PIPE)
subprocess.Popen([sys.argv[3], "300"], start_new_session=True, stdout=subprocess.DEVNULL)
print("started", flush=True)
time.sleep(300)
"""


def test_the_audit_log_is_read_on_from_where_it_was_read_to(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_text(_event("create", "system:serviceaccount:a:operator") + _event("patch", "admin"))
    log = AuditLog(path)
    assert [(write.verb, write.user) for write in log.new("admin")] == [("patch", "admin")]
    with path.open("a") as more:
        more.write(_event("delete", "admin") + _event("update", "admin").rstrip("\n"))
    assert [write.verb for write in log.new()] == ["delete"]
    with path.open("a") as more:
        more.write("\n")
    [last] = log.new()
    assert (last.verb, last.resource, last.namespace, last.name, last.code) == (
        "update",
        "deployments/scale",
        "a",
        "small",
        200,
    )


def test_the_audit_log_is_read_over_the_servers_change_to_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_text(_event("create", "a"))
    log = AuditLog(path)
    log.skip()
    with path.open("a") as more:
        more.write(_event("patch", "a"))
    path.rename(tmp_path / "audit-2026-01-01T00-00-00.000.log")
    assert log.new() == []
    path.write_text(_event("delete", "a"))
    assert [write.verb for write in log.new()] == ["patch", "delete"]
    with path.open("a") as more:
        more.write(_event("update", "a"))
    assert [write.verb for write in log.new()] == ["update"]


def _event(verb: str, user: str) -> str:
    return (
        f'{{"user":{{"username":"{user}"}},"verb":"{verb}","requestReceivedTimestamp":"2026-01-01T00:00:00.000001Z",'
        '"objectRef":{"resource":"deployments","subresource":"scale","apiGroup":"apps","namespace":"a","name":"small"},'
        '"responseStatus":{"code":200},"userAgent":"test"}\n'
    )


def test_waiting_in_vain_says_what_was_seen_last() -> None:
    began = time.monotonic()

    def predicate() -> bool:
        assert os.environ.get("NEVER_SET") == "set"
        return True

    with pytest.raises(DeadlineError, match=r"after 0\.1 s: the variable is set; last seen: .*None"):
        eventually(predicate, 0.1, "the variable is set")
    assert time.monotonic() > began
