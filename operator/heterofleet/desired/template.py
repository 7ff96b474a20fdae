"""A rendered pod template and how it is kept: as a ControllerRevision of the fleet.

While a role's spec-hash is unchanged the kept template is applied, whatever this version of the operator would
render: an upgrade of the operator alone never restarts an engine (contracts.md, "Instances, revisions, upgrades").
Besides the template it keeps what else was decided at that moment: how many pods an instance has, how long it may
take to start, which supervisor it runs, and whether it is scheduled as a PodGroup. Nothing of an instance's index
is in it, so that one template serves all instances of a revision.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from heterofleet.api import labels
from heterofleet.api.labels import Manifest, Tier
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.desired import children, names, revision
from heterofleet.desired.revision import Role


class MalformedTemplate(ValueError):
    """A ControllerRevision that does not hold a template of ours."""


@dataclass(frozen=True)
class Template:
    """What one revision of one role's pods is made of.

    `body` has `metadata` and `spec`; `supervisor` names the ConfigMap that it mounts; `pods` are those of one
    instance; `pod_group` is the PodGroup's spec where the instance has one; `topology_key` is what affinity keeps.
    """

    role: Role
    hash: str
    body: Manifest
    supervisor: str | None = None
    pods: int = 1
    startup_seconds: int = 0
    pod_group: Manifest | None = None
    topology_key: str | None = None

    @property
    def revision(self) -> str:
        return revision.revision(self.hash)


def to_manifest(template: Template, fleet: HeterogeneousDeployment) -> Manifest:
    """The ControllerRevision that keeps `template`; its data can never be edited, the API server sees to that."""
    name = names.template(fleet.metadata.name, template.role, template.revision)
    if template.role is Role.ROUTER:
        selector = names.router_selector(fleet.metadata.name)
    else:
        selector = names.engine_selector(fleet.metadata.name, Tier(template.role))
    kept = children.child(
        fleet,
        children.CONTROLLER_REVISION,
        name,
        {**selector, labels.REVISION: template.revision},
        template.role,
        annotations={labels.SPEC_HASH: template.hash},
    )
    data = children.stated(
        template=template.body,
        supervisor=template.supervisor,
        pods=template.pods,
        startupSeconds=template.startup_seconds,
        podGroup=template.pod_group,
        topologyKey=template.topology_key,
    )
    return {**kept, "data": data, "revision": 1}


def parse(manifest: Manifest) -> Template:
    """The template that a ControllerRevision keeps. Raises MalformedTemplate for one that is not ours."""
    try:
        metadata, data = manifest["metadata"], manifest["data"]
        own = metadata["labels"]
        return Template(
            role=Role(own[labels.TIER]) if labels.TIER in own else Role.ROUTER,
            hash=metadata["annotations"][labels.SPEC_HASH],
            body=data["template"],
            supervisor=data.get("supervisor"),
            pods=data["pods"],
            startup_seconds=data.get("startupSeconds", 0),
            pod_group=data.get("podGroup"),
            topology_key=data.get("topologyKey"),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise MalformedTemplate(f"not a stored template: {exc!r}") from exc


def differs(stored: Template, fresh: Template) -> tuple[str, ...]:
    """Where a template rendered now is not the one that runs, as readable paths; () when it is the same."""
    found = sorted(set(_differences(stored.body, fresh.body, "")))
    others = (
        ("supervisor", stored.supervisor, fresh.supervisor),
        ("pods", stored.pods, fresh.pods),
        ("podGroup", stored.pod_group, fresh.pod_group),
        ("topologyKey", stored.topology_key, fresh.topology_key),
    )
    return (*found, *(name for name, old, new in others if old != new))


def _differences(stored: Any, fresh: Any, path: str) -> Iterator[str]:
    if isinstance(stored, dict) and isinstance(fresh, dict):
        for key in stored.keys() | fresh.keys():
            yield from _differences(stored.get(key), fresh.get(key), f"{path}.{key}" if path else key)
    elif _are_named(stored) and _are_named(fresh):
        old, new = ({item["name"]: item for item in items} for items in (stored, fresh))
        for name in old.keys() | new.keys():
            yield from _differences(old.get(name), new.get(name), f"{path}[{name}]")
    elif stored != fresh:
        yield path


def _are_named(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) and "name" in item for item in value)
