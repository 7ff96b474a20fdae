"""Manifests that users' clusters hold: what this version renders, and that it leaves alone what older ones rendered."""

import json

import pytest

from golden import render
from golden.render import Case
from heterofleet.api import routing
from heterofleet.desired import revision
from heterofleet.desired.revision import Role

_IDS = [case.name for case in render.CASES]


def _case(name: str) -> Case:
    return next(case for case in render.CASES if case.name == name)


@pytest.mark.parametrize("name", _IDS)
def test_this_version_renders_exactly_the_held_manifests(name: str) -> None:
    assert list(render.rendered(_case(name))) == render.golden(render.VERSION, name)


@pytest.mark.parametrize("version", list(render.versions()))
@pytest.mark.parametrize("name", _IDS)
def test_an_upgrade_of_the_operator_applies_what_the_older_version_stored(version: str, name: str) -> None:
    held = render.golden(version, name)
    stored = render.stored_templates(held)
    assert {role: revision.spec_hash(_case(name).fleet, role) for role in Role} == {
        role: kept.hash for role, kept in stored.items()
    }
    assert list(render.applied(_case(name), stored)) == held


def test_the_schema_that_routers_are_written_against_is_the_held_one() -> None:
    path = render.FOLDER / render.VERSION / "router-config.schema.json"
    assert routing.schema() == json.loads(path.read_text(encoding="utf-8"))
