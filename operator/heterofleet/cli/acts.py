"""`heterofleet roll`, `retry` and `release`: ask the operator for something by an annotation that holds the time.

The fleet's spec is never touched, so that what lies in Git stays true. The commands say what will come of it, and
what stands in its way, instead of leaving a person to wonder why nothing happens.
"""

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from heterofleet.api import labels
from heterofleet.api.conditions import ConditionType, InstanceState
from heterofleet.api.labels import Tier
from heterofleet.cli import access, freshness
from heterofleet.cli.access import Api
from heterofleet.cli.errors import CliError
from heterofleet.cli.fleetview import FleetView
from heterofleet.cli.kubeconfig import Target
from heterofleet.cluster import errors


def run(options: argparse.Namespace) -> int:
    async def session(api: Api, target: Target) -> int:
        for line in await perform(api, target.namespace, options, datetime.now(UTC)):
            print(line)
        return 0

    return access.run(options, session)


async def perform(api: Api, namespace: str, options: argparse.Namespace, now: datetime) -> list[str]:
    """Do what `options.command` says to `options.fleet`, and say what comes of it and what stands in its way."""
    view = FleetView.of(await access.fleet(api, namespace, options.fleet))
    said = await _ACTS[options.command](api, view, options, now)
    warning = freshness.sentence(await freshness.operator(api), now)
    return [*said, *_obstacles(view), *([warning] if warning else [])]


async def _roll(api: Api, view: FleetView, _: argparse.Namespace, now: datetime) -> list[str]:
    await _annotate(api, _fleet_path(view), labels.ROLL, now)
    said = [f"{view.key.name}: its pods are replaced one instance after the other."]
    update = view.status.condition(ConditionType.UPDATE_AVAILABLE)
    if update is not None and update.status and update.message:
        said.append(f"What changes: {update.message}")
    return [*said, f"Follow it with: {_follow(view)}"]


async def _retry(api: Api, view: FleetView, _: argparse.Namespace, now: datetime) -> list[str]:
    failed = [one.index for one in view.status.large.instances if one.state is InstanceState.FAILED]
    if not failed:
        return [f"{view.key.name}: no instance has failed, so there is nothing to retry."]
    await _annotate(api, _fleet_path(view), labels.RETRY, now)
    named = ", ".join(str(index) for index in failed)
    return [
        f"{view.key.name}: instance{'s' if len(failed) > 1 else ''} {named} will be tried again.",
        f"Follow it with: {_follow(view)}",
    ]


async def _release(api: Api, view: FleetView, options: argparse.Namespace, now: datetime) -> list[str]:
    asked = [Tier(options.tier)] if options.tier else list(Tier)
    held = [tier for tier in asked if view.tier(tier).override is not None]
    if not held:
        return [_unheld(view, tier) for tier in asked]
    for tier in held:
        path = f"/apis/{labels.API_VERSION}/namespaces/{view.key.namespace}/{labels.TIER_PLURAL}"
        try:
            await _annotate(api, f"{path}/{view.key.name}-{tier}", labels.RELEASE, now)
        except errors.NotFound as error:
            raise CliError(f"the {tier} tier of {view.key.name} has no HeterogeneousTier: try again shortly") from error
    return [_released(view, tier) for tier in held]


def _unheld(view: FleetView, tier: Tier) -> str:
    if tier in view.external:
        return f"{view.key.name}: the count of the {tier} tier is left to others (scaling.{tier}.writer: External)."
    return f"{view.key.name}: the plan sets the count of the {tier} tier, so there is nothing to release."


def _released(view: FleetView, tier: Tier) -> str:
    override = view.tier(tier).override
    was = f", which {override.by} had set to {override.instances}" if override is not None else ""
    return f"{view.key.name}: the plan sets the count of the {tier} tier again{was}."


async def _annotate(api: Api, path: str, annotation: str, now: datetime) -> None:
    await api.merge(path, {"metadata": {"annotations": {annotation: now.isoformat().replace("+00:00", "Z")}}})


def _fleet_path(view: FleetView) -> str:
    return f"{access.fleets(view.key.namespace)}/{view.key.name}"


def _follow(view: FleetView) -> str:
    return f"heterofleet status {view.key.name} -n {view.key.namespace} --watch"


def _obstacles(view: FleetView) -> Iterator[str]:
    if view.suspended:
        yield "It is suspended: this waits until spec.suspend is false."
    accepted = view.status.condition(ConditionType.ACCEPTED)
    if accepted is not None and not accepted.status:
        yield f"Its spec is not accepted, and this waits until it is: {accepted.message}"


_ACTS: Final = {"roll": _roll, "retry": _retry, "release": _release}
