"""The images hold what was locked and tested, and run as a user that Kubernetes can check."""

import re
import runpy
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml

from heterofleet.api.labels import Tier
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cli import arguments
from heterofleet.control import settings
from heterofleet.desired import engine

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "images"
Translate = Callable[[Sequence[str], str], list[str] | None]
PIN = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)


def pins(path: Path) -> dict[str, str]:
    return dict(PIN.findall(path.read_text("utf-8")))


def test_images_hold_the_versions_that_were_tested() -> None:
    tested = pins(ROOT / "requirements.lock")
    shipped = {file: pins(file) for file in sorted(IMAGES.glob("*/*.lock"))}
    assert {str(file.relative_to(IMAGES)) for file in shipped} >= {
        "operator/build.lock",
        "operator/requirements.lock",
        "router/compile.lock",
        "router/requirements.lock",
        "engine-sim/requirements.lock",
    }
    for file, versions in shipped.items():
        assert versions == {package: tested[package] for package in versions}, file


@pytest.mark.parametrize(
    ("image", "extra"), [("operator", "operator"), ("router", "router"), ("engine-sim", "simulate")]
)
def test_an_image_holds_all_that_its_program_needs(image: str, extra: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    needed = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"][extra]]
    names = {re.split(r"[^A-Za-z0-9-]", requirement, maxsplit=1)[0].lower() for requirement in needed}
    assert names - set(pins(IMAGES / image / "requirements.lock")) == set()
    builders = {requirement.partition("==")[0] for requirement in project["build-system"]["requires"]}
    assert builders - set(pins(IMAGES / "operator" / "build.lock")) == set()


def test_what_compiles_the_router_reads_the_types_of_all_that_the_image_holds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    compilers = pins(IMAGES / "router" / "compile.lock")
    assert pins(IMAGES / "router" / "requirements.lock").items() <= compilers.items()
    assert set(project["dependency-groups"]["compile"]) <= compilers.keys()


@pytest.mark.parametrize("image", ["operator", "router"])
def test_an_image_starts_a_program_of_the_package(image: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    text = (IMAGES / image / "Dockerfile").read_text("utf-8")
    (program,) = re.findall(r'^ENTRYPOINT \["([a-z-]+)"\]$', text, re.MULTILINE)
    assert program == f"heterofleet-{image}"
    assert program in project["project"]["scripts"]


def test_every_locked_package_has_a_hash() -> None:
    for file in IMAGES.glob("*/*.lock"):
        text = file.read_text("utf-8")
        assert text.count("--hash=sha256:") >= len(pins(file)) > 0, file


def test_images_run_as_a_numeric_user_that_is_not_root() -> None:
    users = {
        file.parent.name: re.findall(r"^USER (.*)$", file.read_text("utf-8"), re.MULTILINE)
        for file in IMAGES.glob("*/Dockerfile")
    }
    assert set(users) == {"operator", "router", "engine", "engine-sim"}
    for image, found in users.items():
        assert len(found) == 1, image
        assert re.fullmatch(r"[1-9][0-9]*:[0-9]+", found[0]), image


def test_the_engines_image_is_the_default_engine_for_another_user() -> None:
    assert f"ARG BASE={settings.ENGINE_IMAGE}\n" in (IMAGES / "engine" / "Dockerfile").read_text("utf-8")


@pytest.fixture
def translated() -> Translate:
    """Of the image's own `vllm`, which is no part of the package."""
    found: Translate = runpy.run_path(str(IMAGES / "engine-sim" / "vllm.py"))["translated"]
    return found


def test_a_leader_of_the_simulated_engines_image_gets_what_the_simulated_engine_knows(
    translated: Translate, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text('{"api-key": ["a", "b"]}')
    sample = yaml.safe_load((ROOT / "manifests" / "samples" / "small-qwen3.yaml").read_text("utf-8"))
    sample["metadata"] |= {"namespace": "models"}
    fleet = HeterogeneousDeployment.parse(sample)
    rendered = [word.replace("{model}", "/cache/m") for word in engine.arguments(fleet, Tier.SMALL)]
    added = ["--shutdown-timeout", "300", "--config", str(keys)]
    taken = translated([*rendered[1:], *added], "--profile tiny-small")
    names = engine.served_names(fleet, Tier.SMALL)
    assert taken == [
        *("engine-sim", "--served-model-name", *names, "--host", "0.0.0.0", "--port", "8000"),  # noqa: S104  as pods are reached
        *("--max-model-len", "32768", "--max-num-seqs", "32", "--shutdown-timeout", "300"),
        *("--enable-prefix-caching", "--api-key", "a", "b", "--profile", "tiny-small"),
    ]
    assert arguments.parser().parse_args(taken).module == "enginesim"


def test_a_worker_of_the_simulated_engines_image_serves_nothing(translated: Translate) -> None:
    command = ["serve", "m", "--served-model-name", "large", "--nnodes", "2", "--node-rank", "1", "--headless"]
    assert translated(command, "") is None
