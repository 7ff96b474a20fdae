"""Writes the files that are generated from the code: `python -m heterofleet.generate [--check] [ROOT]`.

Each file is a value here (path and text), so that `--check` compares what lies under ROOT with what would be written
and says which files have drifted, without writing any.
"""

import argparse
import difflib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from heterofleet.api import crd, labels, reference
from heterofleet.desired import scraping
from heterofleet.metrics import shipped

_BY_HAND = "# Generated from operator/heterofleet/api by `make generate`; edits are lost.\n"
_OF_RULES = "# Generated from operator/heterofleet/metrics by `make generate`; edits are lost.\n"
_OF_SCRAPES = "# Generated from operator/heterofleet/desired/scraping.py by `make generate`; edits are lost.\n"
_REFERENCE = Path("docs", "reference")
_SCRAPES = Path("manifests", "prometheus", "scrape.yaml")
_CHART_CRDS = Path("charts", "heterofleet", "files", "crds")
_RULES = (Path("manifests", "prometheus"), Path("charts", "heterofleet", "files"))


class Generated(NamedTuple):
    """One file: where it lies under the root of the repository, and what it holds."""

    path: Path
    text: str


def files() -> Iterator[Generated]:
    """Every generated file of the repository."""
    for definition in crd.definitions():
        name = f"{definition['spec']['group']}_{definition['spec']['names']['plural']}.yaml"
        yield Generated(Path("crds", name), _BY_HAND + as_yaml(definition))
        yield Generated(_CHART_CRDS / name, _BY_HAND + as_yaml(_kept_by_helm(definition)))
        kind = definition["spec"]["names"]["kind"].lower()
        yield Generated(_REFERENCE / f"{kind}.md", reference.of_definition(definition))
    yield Generated(_REFERENCE / "conditions.md", reference.of_conditions())
    for folder in _RULES:
        yield Generated(folder / "rules.yaml", _OF_RULES + as_yaml(shipped.recorded()))
        yield Generated(folder / "alerts.yaml", _OF_RULES + as_yaml(shipped.alerting()))
    yield Generated(_SCRAPES, _OF_SCRAPES + as_yaml({"scrape_configs": scraping.jobs()}))


def _kept_by_helm(definition: labels.Manifest) -> labels.Manifest:
    """The chart's copy: `helm uninstall` leaves it, since deleting a definition deletes every fleet."""
    annotations = {"helm.sh/resource-policy": "keep"}
    return {**definition, "metadata": {**definition["metadata"], "annotations": annotations}}


class _Plain(yaml.SafeDumper):
    """Writes a value that occurs twice twice, instead of an anchor and an alias."""

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


def as_yaml(manifest: labels.Manifest) -> str:
    """One manifest as a YAML document, in the order in which it was built."""
    return yaml.dump(manifest, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)


def drift(root: Path) -> str:
    """The differences between what lies under `root` and what would be written; empty where there are none."""
    return "".join(line for file in files() for line in _difference(root / file.path, file.text))


def _difference(path: Path, wanted: str) -> Iterator[str]:
    present = path.read_text("utf-8") if path.exists() else ""
    return difflib.unified_diff(
        present.splitlines(keepends=True), wanted.splitlines(keepends=True), str(path), "as generated"
    )


def write(root: Path) -> None:
    for file in files():
        path = root / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text, "utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m heterofleet.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file has drifted")
    parser.add_argument("root", nargs="?", type=Path, default=Path(), help="root of the repository")
    asked = parser.parse_args()
    if not asked.check:
        write(asked.root)
        return 0
    found = drift(asked.root)
    sys.stderr.write(found and f"{found}\nGenerated files have drifted: run `make generate`.\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
