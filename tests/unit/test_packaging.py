"""What is installed with an extra is all that its programs import."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator

import pytest

from unit.markdown import ROOT

_IMPORT_ALL = """
import importlib, pkgutil, sys
sys.modules.update(dict.fromkeys(sys.argv[3:]))
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if module.name not in sys.argv[2].split(","):
        importlib.import_module(module.name)
"""
"""Imports a package, some modules aside, while some top-level modules are as good as not installed."""

WITH_ANOTHER_EXTRA = ("heterofleet.cli.costplot", "heterofleet.cli.recommendtable")
"""What commands load when they have found that what plots, or simulates, is installed, and no other module does."""


def _extra(name: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {_distribution(line) for line in [*project["dependencies"], *project["optional-dependencies"][name]]}


def _distribution(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    return found[0].lower().replace("_", "-") if found else ""


def _with_their_own(distributions: set[str]) -> set[str]:
    """The distributions and what they need themselves, as far as it is installed."""
    known: set[str] = set()
    todo = set(distributions)
    while todo:
        name = todo.pop()
        known.add(name)
        try:
            needed = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        todo |= {_distribution(line) for line in needed if "extra ==" not in line} - known
    return known


def _modules_outside(distributions: set[str]) -> Iterator[str]:
    installed = _with_their_own(distributions)
    for module, owners in importlib.metadata.packages_distributions().items():
        if not {_distribution(owner) for owner in owners} & (installed | {"heterofleet"}) and module.isidentifier():
            yield module


@pytest.mark.parametrize(
    ("extra", "package"),
    [
        ("cli", "heterofleet.cli"),
        ("cli", "heterofleet.cluster"),  # Commands import what they need of it when they run.
        ("operator", "heterofleet.control"),
        ("simulate", "heterofleet.simulate"),
    ],
)
def test_an_extra_brings_all_that_its_package_imports(extra: str, package: str) -> None:
    absent = sorted(_modules_outside(_extra(extra)))
    assert "pytest" in absent
    command = [sys.executable, "-c", _IMPORT_ALL, package, ",".join(WITH_ANOTHER_EXTRA), *absent]
    done = subprocess.run(command, cwd=ROOT / "operator", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
