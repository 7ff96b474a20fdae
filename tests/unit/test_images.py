"""The images hold what was locked and tested, and run as a user that Kubernetes can check."""

import re
import tomllib
from pathlib import Path

import pytest

from heterofleet.control import settings

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "images"
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
