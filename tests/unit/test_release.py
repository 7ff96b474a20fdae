"""A release holds what is needed to install it and to upgrade from it, and is made once."""

import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKED = re.compile(r"^([a-z0-9-]+)==([^ \\]+)((?:[^\n]*\n    --hash=sha256:[0-9a-f]{64})+)", re.MULTILINE)

Packages = dict[tuple[str, str], set[str]]
"""By name and version, the hashes that a package may have."""


def release(folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'operator'}{os.pathsep}{ROOT / 'tests'}"}
    command = [sys.executable, str(ROOT / "charts" / "release.py"), str(folder)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("releases")
    done = release(folder)
    assert done.returncode == 0, done.stderr
    return folder / "0.3.0"


def test_a_release_lists_all_its_files_with_their_checksums(made: Path) -> None:
    lines = (made / "SHA256SUMS").read_text("utf-8").splitlines()
    listed = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    assert listed == {
        str(file.relative_to(made)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in made.rglob("*")
        if file.is_file() and file.name != "SHA256SUMS"
    }
    assert set(listed) == {
        "crds/heterofleet.io_heterogeneousdeployments.yaml",
        "crds/heterofleet.io_heterogeneoustiers.yaml",
        "heterofleet-0.3.0-py3-none-any.whl",
        "heterofleet-0.3.0.tgz",
        "install.yaml",
        "sbom/operator.cdx.json",
        "sbom/router.cdx.json",
    }


def test_the_wheel_holds_what_the_operator_reads_beside_its_code(made: Path) -> None:
    (wheel,) = made.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    sources = ROOT / "operator"
    read = [*sources.glob("heterofleet/supervisor/*.py"), *sources.glob("heterofleet/planning/data/*.yaml")]
    assert len(read) > 2
    assert {str(file.relative_to(sources)) for file in read} <= inside


def locked(image: str) -> Packages:
    text = (ROOT / "images" / image / "requirements.lock").read_text("utf-8")
    return {
        (name, version): set(re.findall(r"sha256:([0-9a-f]{64})", hashes))
        for name, version, hashes in LOCKED.findall(text)
    }


def listed(document: dict[str, Any]) -> Packages:
    return {
        (part["name"], part["version"]): {
            digest["content"] for place in part["externalReferences"] for digest in place.get("hashes", ())
        }
        for part in document["components"]
    }


@pytest.mark.parametrize("image", ["operator", "router"])
def test_a_bill_of_materials_lists_what_an_image_installs_with_its_hashes(made: Path, image: str) -> None:
    document = json.loads((made / "sbom" / f"{image}.cdx.json").read_text("utf-8"))
    product = document["metadata"]["component"]
    assert (document["bomFormat"], product["name"], product["version"]) == ("CycloneDX", "heterofleet", "0.3.0")
    assert len(locked(image)) > 5
    assert listed(document) == locked(image)


def test_a_release_is_never_made_again(made: Path) -> None:
    before = (made / "SHA256SUMS").read_bytes()
    done = release(made.parent)
    assert (done.returncode, "never made again" in done.stderr) == (1, True)
    assert (made / "SHA256SUMS").read_bytes() == before
