"""What is rendered and what the supervisor reads are held together: a rank of a rendered pod understands its place."""

import re
from pathlib import Path

from heterofleet.api.labels import Manifest
from heterofleet.desired import engine, large
from heterofleet.desired import fleet as desired
from heterofleet.desired.revision import Role
from heterofleet.supervisor import settings
from unit.desired import fleets

ADDRESS = "10.0.0.7"


def environment(pod: Manifest, name: str) -> dict[str, str]:
    """The variables of the engine's container as a kubelet hands them over."""
    fields = {"metadata.name": name, "status.podIP": ADDRESS}
    fields |= {f"metadata.labels['{key}']": value for key, value in pod["metadata"]["labels"].items()}
    given: dict[str, str] = {}
    for variable in pod["spec"]["containers"][0]["env"]:
        if "valueFrom" in variable:
            given[variable["name"]] = fields[variable["valueFrom"]["fieldRef"]["fieldPath"]]
        else:
            given[variable["name"]] = re.sub(r"\$\((\w+)\)", lambda m: given[m.group(1)], variable["value"])
    return given


def group_pod(index: int, rank: int) -> Manifest:
    """The template of an instance's StatefulSet, with the label that Kubernetes adds to the pod of a rank."""
    template = desired.render(fleets.fleet(), Role.LARGE, fleets.PLATFORM)
    objects = large.instance(fleets.fleet(), index, template, None, fleets.PLATFORM)
    pod: Manifest = next(item for item in objects if item["kind"] == "StatefulSet")["spec"]["template"]
    pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] = str(rank)
    return pod


def test_a_rank_of_a_rendered_group_finds_its_peers_by_the_headless_service() -> None:
    read = settings.read(environment(group_pod(3, 1), "chat-large-3-1"))
    assert (read.pods, read.index, read.pod_ip, read.served_model) == (2, 1, ADDRESS, "chat-large")
    assert read.peers == (
        ("chat-large-3-0.chat-large-3.ai.svc", 8001),
        ("chat-large-3-1.chat-large-3.ai.svc", 8001),
    )
    assert (read.source, read.revision, read.cache) == ("hf://Qwen/Qwen3-32B", "main", engine.CACHE_FOLDER)


def test_a_small_pod_is_alone_and_drains_as_long_as_its_pod_lives() -> None:
    spec = {"small": {"lifecycle": {"drainTimeoutSeconds": 77}}}
    pod = desired.render(fleets.fleet(**spec), Role.SMALL, fleets.PLATFORM).body
    read = settings.read(environment(pod, "chat-small-x"))
    assert (read.pods, read.index, read.group, read.drain_seconds) == (1, 0, "", 77)
    assert pod["spec"]["terminationGracePeriodSeconds"] == 77 + 30


def test_the_supervisor_listens_where_probes_and_services_look() -> None:
    pod = group_pod(0, 0)
    read = settings.read(environment(pod, "chat-large-0-0"))
    container = pod["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert (ports["supervisor"], ports["http"]) == (read.port, read.engine[1])
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {engine.SUPERVISOR_FOLDER, read.cache, str(read.run_dir)} <= mounts
    assert container["command"] == ["python3", engine.SUPERVISOR_FOLDER, "--"]


def test_a_rank_completes_the_rendered_command_without_naming_anything_twice() -> None:
    pod = group_pod(0, 1)
    read = settings.read(environment(pod, "chat-large-0-1"))
    arguments = pod["spec"]["containers"][0]["args"]
    line = settings.command_line(arguments, read, model="/cache/m", leader="10.0.0.1", config=Path("/run/keys"))
    assert line[:3] == ["vllm", "serve", "/cache/m"]
    flags = [part for part in line if part.startswith("--")]
    assert sorted(flags) == sorted(set(flags))
    assert flags[-5:] == ["--nnodes", "--node-rank", "--master-addr", "--headless", "--config"]
