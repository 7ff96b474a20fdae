"""`heterofleet render`: the objects of a fleet as they would be made, and only of a fleet that could be."""

import io
from collections import Counter
from pathlib import Path

import pytest
import yaml

from heterofleet.cli import main, rendering
from heterofleet.control import settings

FLEET = """\
apiVersion: heterofleet.io/v1alpha1
kind: HeterogeneousDeployment
metadata: {name: chat, namespace: prod}
spec:
  large:
    model: {source: "hf://Qwen/Qwen3-32B"}
    parallelism: {tensor: 8}
    instances: {min: 1, warm: 1}
    placement: {gpuProduct: NVIDIA-A100-SXM4-80GB}
  small:
    model: {source: "hf://Qwen/Qwen3-4B"}
    instances: {min: 3, max: 3}
    placement: {gpuProduct: NVIDIA-A100-SXM4-80GB}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET)
    return path


def test_every_child_of_the_first_reconcile_is_rendered(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["render", "fleet.yaml"]) == 0
    made = list(yaml.safe_load_all(capsys.readouterr().out))
    names = {(one["kind"], one["metadata"]["name"]) for one in made}
    assert {("StatefulSet", "chat-large-0"), ("StatefulSet", "chat-large-1"), ("Service", "chat-router")} <= names
    assert {one["metadata"]["namespace"] for one in made} == {"prod"}
    assert {one["metadata"]["ownerReferences"][0]["uid"] for one in made} == {rendering.UID}
    small = next(one for one in made if one["kind"] == "Deployment" and "-small-" in one["metadata"]["name"])
    assert small["spec"]["replicas"] == 3
    assert Counter(one["kind"] for one in made)["HeterogeneousTier"] == 2
    assert not {"PodMonitor", "PodGroup"} & {one["kind"] for one in made}


def test_optional_apis_are_rendered_when_asked_for(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["render", "fleet.yaml", "--monitoring", "--pod-groups"]) == 0
    kinds = {one["kind"] for one in yaml.safe_load_all(capsys.readouterr().out)}
    assert {"PodMonitor", "PrometheusRule", "PodGroup"} <= kinds


def test_kinds_can_be_chosen(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["render", "fleet.yaml", "--kind", "statefulset"]) == 0
    assert {one["kind"] for one in yaml.safe_load_all(capsys.readouterr().out)} == {"StatefulSet"}
    assert main.main(["render", "fleet.yaml", "--kind", "Ingress"]) == 1
    assert capsys.readouterr().err.startswith("heterofleet: no object is of kind Ingress; there are ConfigMap, ")


def test_a_fleet_that_would_be_refused_is_not_rendered(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(FLEET.replace("tensor: 8", "tensor: 8, data: 2"))
    assert main.main(["render", "fleet.yaml"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fleet.yaml:7:5: error: spec.large.parallelism: ")


def test_one_of_several_fleets_must_be_chosen(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(f"{FLEET}---\n{FLEET.replace('chat', 'search')}")
    assert main.main(["render", "fleet.yaml"]) == 1
    sentence = "heterofleet: fleet.yaml: holds several fleets, choose one with --fleet: chat, search\n"
    assert capsys.readouterr().err == sentence
    assert main.main(["render", "fleet.yaml", "--fleet", "search", "--kind", "StatefulSet"]) == 0
    assert "search-large-0" in capsys.readouterr().out


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("kind: Namespace\napiVersion: v1\n"))
    assert main.main(["render", "-"]) == 1
    assert capsys.readouterr().err == "heterofleet: stdin: holds no fleet\n"


def test_the_images_are_those_of_an_operator_with_its_defaults() -> None:
    read = settings.Settings.read({})
    assert read.engine_image == rendering.ENGINE_IMAGE
    assert read.router_image.rpartition(":")[0] == rendering.ROUTER_REPOSITORY
