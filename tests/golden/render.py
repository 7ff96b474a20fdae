"""The fleets whose manifests are held as golden files, and the command that writes them.

    PYTHONPATH=operator:tests .venv/bin/python -m golden.render

writes the folder of the version in `VERSION`; review its diff as what users will see. A released version's folder
is never written again: raise `VERSION` with the first change after a release.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from heterofleet.api import routing
from heterofleet.api.labels import Manifest, Tier
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.desired import fleet as desired
from heterofleet.desired import template
from heterofleet.desired.fleet import Counts, LargeInstance, Platform, SmallRevision
from heterofleet.desired.revision import Role
from heterofleet.desired.template import Template
from heterofleet.planning import catalogue

VERSION = "0.3.0"
FOLDER = Path(__file__).parent
_DEADLINE = datetime(2026, 1, 5, 10, 30, tzinfo=UTC)


@dataclass(frozen=True)
class Case:
    """One fleet, how many instances it has, and which optional APIs its cluster serves."""

    name: str
    large: tuple[datetime | None, ...] = (None,)
    small: int = 1
    tiers: tuple[int | None, int | None] = (1, 1)
    monitoring: bool = False
    pod_groups: bool = False

    @property
    def fleet(self) -> HeterogeneousDeployment:
        text = (FOLDER / "fleets" / f"{self.name}.yaml").read_text(encoding="utf-8")
        return HeterogeneousDeployment.parse(yaml.safe_load(text))

    @property
    def platform(self) -> Platform:
        return Platform(
            operator_namespace="heterofleet-system",
            engine_image="registry.example.org/engine:default",
            router_image="registry.example.org/router:default",
            supervisor={"__main__.py": "# the entrance\n", "life.py": "# the life\n"},
            catalogue=catalogue.load(),
            pod_monitors=self.monitoring,
            prometheus_rules=self.monitoring,
            pod_groups=self.pod_groups,
        )

    def counts(self, large: str, small: str) -> Counts:
        """The case's counts at these revisions."""
        return Counts(
            large=tuple(LargeInstance(index, large, deadline) for index, deadline in enumerate(self.large)),
            small=(SmallRevision(small, self.small),),
            tiers=dict(zip((Tier.LARGE, Tier.SMALL), self.tiers, strict=True)),
        )


CASES = (
    Case("pair", large=(None, _DEADLINE), small=4, tiers=(2, 4)),
    Case("minimal"),
    Case("claims", tiers=(1, None), monitoring=True),
    Case("overlay", small=0, tiers=(1, 0)),
    Case("gang", large=(None, None), tiers=(2, 1), pod_groups=True),
    Case("router"),
)


def rendered(case: Case) -> tuple[Manifest, ...]:
    """What this version makes of a case from nothing."""
    fleet, platform = case.fleet, case.platform
    templates = {role: desired.render(fleet, role, platform) for role in Role}
    return applied(case, templates)


def applied(case: Case, templates: dict[Role, Template]) -> tuple[Manifest, ...]:
    """What this version applies for a case whose templates are stored."""
    counts = case.counts(templates[Role.LARGE].revision, templates[Role.SMALL].revision)
    by_revision = {(role, stored.revision): stored for role, stored in templates.items()}
    return desired.manifests(case.fleet, counts, by_revision, case.platform)


def stored_templates(manifests: list[Manifest]) -> dict[Role, Template]:
    """The templates that the ControllerRevisions among `manifests` keep."""
    kept = (template.parse(item) for item in manifests if item["kind"] == "ControllerRevision")
    return {found.role: found for found in kept}


def golden(version: str, case: str) -> list[Manifest]:
    """The held manifests of a case."""
    text = (FOLDER / version / f"{case}.yaml").read_text(encoding="utf-8")
    return list(yaml.safe_load_all(text))


def held() -> Iterator[tuple[str, str]]:
    """Every version that has golden files, this one among them, with each case that it had."""
    return ((file.parent.name, file.stem) for file in sorted(FOLDER.glob("[0-9]*/*.yaml")))


class _Dumper(yaml.SafeDumper):
    """Writes shared values out each time, since anchors make a diff unreadable."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def main() -> None:
    """Write this version's folder."""
    folder = FOLDER / VERSION
    folder.mkdir(exist_ok=True)
    for case in CASES:
        text = yaml.dump_all(rendered(case), Dumper=_Dumper, sort_keys=False, width=120)
        (folder / f"{case.name}.yaml").write_text(text, encoding="utf-8")
    schema = json.dumps(routing.schema(), indent=2, sort_keys=True) + "\n"
    (folder / "router-config.schema.json").write_text(schema, encoding="utf-8")


if __name__ == "__main__":
    main()
