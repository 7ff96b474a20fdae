"""Every shipped sample is admitted by the API server as it stands, and stored without losing a field."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from heterofleet.api import crd, labels
from heterofleet.cli import output
from heterofleet.planning import catalogue
from heterofleet.recommend import advice, answers, loadprofile
from heterofleet.recommend.advice import Question
from heterofleet.recommend.answers import Answers
from heterofleet.recommend.wishes import Wishes
from testbed.controlplane import Cluster

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = sorted((ROOT / "manifests" / "samples").glob("*.yaml"))


@pytest.fixture(scope="module")
def defined(cluster: Cluster) -> Cluster:
    cluster.apply(*crd.definitions())
    for definition in crd.definitions():
        cluster.kubectl("wait", "--for=condition=Established", f"crd/{definition['metadata']['name']}", "--timeout=30s")
    return cluster


def lost(written: Any, stored: Any, path: str = "spec") -> Iterator[str]:
    """Where what is stored differs from what was written; defaults may be added."""
    if isinstance(written, dict) and isinstance(stored, dict):
        for key, value in written.items():
            yield from lost(value, stored.get(key), f"{path}.{key}")
    elif isinstance(written, list) and isinstance(stored, list) and len(written) == len(stored):
        for index, pair in enumerate(zip(written, stored, strict=True)):
            yield from lost(*pair, f"{path}[{index}]")
    elif written != stored:
        yield f"{path}: {written!r} became {stored!r}"


def test_a_recommended_fleet_is_applied_as_it_was_written(defined: Cluster, namespace: str, tmp_path: Path) -> None:
    """Fleets of loads of other sizes differ in their numbers alone: recommend/test_manifest.py."""
    trace = answers.trace(Answers(30))
    wishes = Wishes(name="for-30")
    question = Question(trace, loadprofile.of(trace, None, batch=False), wishes, made_up=True, measured=1)
    written = advice.recommend(question, catalogue.load(), lambda _: None).body
    file = tmp_path / "fleet.yaml"
    file.write_text(output.manifests([written]))
    defined.kubectl("apply", "--validate=strict", "--namespace", namespace, "--filename", str(file))
    path = f"/apis/{labels.API_VERSION}/namespaces/{namespace}/{labels.FLEET_PLURAL}/{wishes.name}"
    assert list(lost(written["spec"], defined.api.get(path)["spec"])) == []


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.stem)
def test_a_sample_is_applied_as_it_stands(defined: Cluster, namespace: str, file: Path) -> None:
    defined.kubectl("apply", "--validate=strict", "--namespace", namespace, "--filename", str(file))
    written = yaml.safe_load(file.read_text("utf-8"))
    path = f"/apis/{labels.API_VERSION}/namespaces/{namespace}/{labels.FLEET_PLURAL}/{written['metadata']['name']}"
    stored = defined.api.get(path)
    assert list(lost(written["spec"], stored["spec"])) == []
    assert defined.kubectl("diff", "--namespace", namespace, "--filename", str(file)) == ""
