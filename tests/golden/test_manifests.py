"""Manifests that users' clusters hold: what this version renders, and that it leaves alone what older ones rendered."""

import json
from typing import Any

import pytest

from golden import render
from golden.render import Case
from heterofleet.api import routing
from heterofleet.api.labels import Manifest
from heterofleet.desired import revision
from heterofleet.desired.revision import Role

_IDS = [case.name for case in render.CASES]


def _case(name: str) -> Case:
    return next(case for case in render.CASES if case.name == name)


@pytest.mark.parametrize("name", _IDS)
def test_this_version_renders_exactly_the_held_manifests(name: str) -> None:
    assert list(render.rendered(_case(name))) == render.golden(render.VERSION, name)


@pytest.mark.parametrize(("version", "name"), list(render.held()))
def test_an_upgrade_of_the_operator_applies_what_the_older_version_stored(version: str, name: str) -> None:
    held = render.golden(version, name)
    stored = render.stored_templates(held)
    assert {role: revision.spec_hash(_case(name).fleet, role) for role in Role} == {
        role: kept.hash for role, kept in stored.items()
    }
    assert _granted_as_before(_told_no_more(list(render.applied(_case(name), stored)), held), held) == held


def _granted_as_before(applied: list[Manifest], held: list[Manifest]) -> list[Manifest]:
    """`applied` with the rights of `held` where it grants fewer: a newer operator may find one that nobody uses.

    It may never grant more, and pods do not see the difference.
    """
    before = {item["metadata"]["name"]: item["rules"] for item in held if item["kind"] == "Role"}
    return [
        {
            **item,
            "rules": [_widened(*pair) for pair in zip(item["rules"], before[item["metadata"]["name"]], strict=True)],
        }
        if item["kind"] == "Role"
        else item
        for item in applied
    ]


def _widened(rule: Manifest, before: Manifest) -> Manifest:
    return {**rule, "verbs": before["verbs"]} if set(rule["verbs"]) <= set(before["verbs"]) else rule


def _told_no_more(applied: list[Manifest], held: list[Manifest]) -> list[Manifest]:
    """`applied`, but that routers are told no more than they were: a newer operator may tell them what is new."""
    (told,), (before,) = (
        [json.loads(item["data"][routing.CONFIG_KEY]) for item in items if routing.CONFIG_KEY in item.get("data", {})]
        for items in (applied, held)
    )
    text = json.dumps(_within(told, before), sort_keys=True, separators=(",", ":"))
    return [
        {**item, "data": {**item["data"], routing.CONFIG_KEY: text}}
        if routing.CONFIG_KEY in item.get("data", {})
        else item
        for item in applied
    ]


def _within(told: Any, before: Any) -> Any:
    """What `told` says of what `before` speaks of."""
    if isinstance(told, dict) and isinstance(before, dict):
        return {key: _within(told[key], value) for key, value in before.items() if key in told}
    return told


@pytest.mark.parametrize("name", ["minimal", "overlay", "gang", "claims"])
def test_a_fleet_that_uses_nothing_new_is_told_the_same_as_by_the_first_version(name: str) -> None:
    held = render.golden("0.1.0", name)
    assert _granted_as_before(list(render.rendered(_case(name))), held) == held


def test_the_schema_that_routers_are_written_against_is_the_held_one() -> None:
    path = render.FOLDER / render.VERSION / "router-config.schema.json"
    assert routing.schema() == json.loads(path.read_text(encoding="utf-8"))
