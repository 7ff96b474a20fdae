"""A router's rights are those that it needs: with all of them nothing is refused, without any one it says which.

The router is the real process; its rights are those of the rendered Role, less one at a time.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from golden import render
from testbed import ports
from testbed.controlplane import Cluster
from testbed.eventually import eventually

FLEET = "tiny"
ROUTER = f"{FLEET}-router"
OPERATOR = Path(__file__).resolve().parents[2] / "operator"
ROLES = "/apis/rbac.authorization.k8s.io/v1"
REFUSED = re.compile(r'cannot (\w+) resource \\?"(\w+)')

Right = tuple[str, str]
"""Verb and resource."""


def split(rules: list[dict[str, Any]]) -> dict[Right, dict[str, Any]]:
    """A Role's rules, a verb and a resource each."""
    return {
        (verb, resource): {**rule, "resources": [resource], "verbs": [verb]}
        for rule in rules
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def rendered(kind: str) -> dict[str, Any]:
    """That object of the router of the fleet."""
    (found,) = (
        o for o in render.golden(render.VERSION, "minimal") if (o["kind"], o["metadata"]["name"]) == (kind, ROUTER)
    )
    return found


def grant(cluster: Cluster, namespace: str, name: str, granted: list[dict[str, Any]]) -> None:
    """A ServiceAccount of that name with these rights."""
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    cluster.api.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}})
    cluster.api.create(f"{ROLES}/namespaces/{namespace}/roles", {"metadata": {"name": name}, "rules": granted})
    binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
    cluster.api.create(f"{ROLES}/namespaces/{namespace}/rolebindings", binding)


@contextlib.contextmanager
def routing(kubeconfig: Path, namespace: str) -> Iterator[tuple[Path, int]]:
    """A router of the fleet; gives its log and the port of its metrics."""
    port, metrics_port = ports.free(2)
    command = [sys.executable, "-m", "heterofleet.router.entry", "--namespace", namespace, "--fleet", FLEET]
    command += ["--host", "127.0.0.1", "--port", str(port), "--metrics-host", "127.0.0.1"]
    command += ["--metrics-port", str(metrics_port), "--linger-seconds", "0"]
    environment = os.environ | {"KUBECONFIG": str(kubeconfig), "PYTHONPATH": str(OPERATOR)}
    file = kubeconfig.with_suffix(".log")
    with file.open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield file, metrics_port
    finally:
        process.kill()
        process.wait()


def refused(log: Path) -> set[Right]:
    return {(verb, resource) for verb, resource in REFUSED.findall(log.read_text())}


@pytest.fixture
def stored(cluster: Cluster, namespace: str) -> str:
    """A namespace with the ConfigMap of a router."""
    body = {"metadata": {"name": ROUTER}, "data": rendered("ConfigMap")["data"]}
    cluster.api.create(f"/api/v1/namespaces/{namespace}/configmaps", body)
    return namespace


def configured(port: int) -> bool:
    """Has it read its pods and its configuration?"""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/config", timeout=5) as answer:
            return bool(json.load(answer)["digest"])
    except OSError:
        return False


def test_a_router_has_the_rights_that_it_needs_and_no_other(cluster: Cluster, stored: str, tmp_path: Path) -> None:
    rights = split(rendered("Role")["rules"])
    lacking: dict[Right | None, set[Right]] = {None: set(), **{right: {right} for right in rights}}
    with contextlib.ExitStack() as routers:
        running = {}
        for number, right in enumerate(lacking):
            name = f"router-{number}"
            grant(cluster, stored, name, [rule for granted, rule in rights.items() if granted != right])
            kubeconfig = cluster.service_account_kubeconfig(stored, name, tmp_path / name)
            running[right] = routers.enter_context(routing(kubeconfig, stored))
        whole = running[None][1]

        def told() -> dict[Right | None, set[Right]]:
            return {right: refused(log) for right, (log, _) in running.items()}

        eventually(lambda: configured(whole) and told() == lacking, 60, lambda: f"each says what it lacks: {told()}")
