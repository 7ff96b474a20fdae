"""The page on routers says what is so: configurations, commands, series, headers and paths are the code's."""

import asyncio
import random
import re
import shlex

import pytest
import yaml

from heterofleet.api.labels import Manifest
from heterofleet.api.ladder import Escalation
from heterofleet.router import classify, files, gauges, metrics, openai, settings, snapshot, tiering
from heterofleet.router.attempts import Attempts
from heterofleet.router.counts import Counter
from heterofleet.router.dispatch import Dispatcher
from heterofleet.router.endpoints import Registry
from heterofleet.router.successes import Detour
from unit import markdown

PAGE = (markdown.ROOT / "docs" / "router.md").read_text(encoding="utf-8")


def _router_configs() -> list[Manifest]:
    return [body for body in markdown.yamls(PAGE) if body["kind"] == "RouterConfig"]


@pytest.mark.parametrize("body", _router_configs())
def test_every_config_of_a_router_would_be_taken_as_it_stands(body: Manifest) -> None:
    taken = snapshot.compile_config(files.documents(yaml.safe_dump(body))[0], classify.shipped())
    assert taken.unknown == ()
    assert [engine.tier for engine in files.sightings(taken.config)] == [e["tier"] for e in body["endpoints"]] != []


def test_every_command_of_a_router_is_one_that_it_takes() -> None:
    lines = [line for line in markdown.code(PAGE) if line.startswith("heterofleet-router ")]
    assert len(lines) >= 2
    for line in lines:
        assert str(settings.parse(shlex.split(line)[1:]).config) == "router.yaml"
    named = {word for line in markdown.spans(PAGE) for word in re.findall(r"--[a-z-]+", line)}
    known = {flag for action in settings._parser()._actions for flag in action.option_strings}
    assert named - known == {"--served-model-name"}  # vLLM's own.


async def _families_of_a_router() -> dict[str, tuple[str, ...]]:
    """The series of a router and the labels of each, those that all have left out."""
    loop, now = asyncio.get_running_loop(), 0.0
    endpoints = Registry(lambda: now)
    dispatcher = Dispatcher(endpoints, lambda: now, random.Random(0))
    read = gauges.Gauges(loop, endpoints, dispatcher, Attempts(loop), lambda: Detour(Escalation()), lambda: 0)
    counted = {
        family.name + ("_total" if isinstance(family, Counter) else ""): family.labels
        for family in metrics.Metrics().families()
    }
    return counted | {f"{metrics.PREFIX}{name}": labels for name, _, labels, _ in read()}


async def test_the_routers_page_has_every_series_of_a_router_with_its_labels() -> None:
    rows = re.findall(r"^\| `…_([a-z_]+)(?:\{([a-z,]+)\})?` \|", PAGE, re.MULTILINE)
    shown = {f"{metrics.PREFIX}{name}": tuple(filter(None, labels.split(","))) for name, labels in rows}
    assert shown == await _families_of_a_router()


def test_the_routers_page_has_every_path_header_and_reason() -> None:
    spans = " ".join(markdown.spans(PAGE))
    assert [path for path in openai.PATHS if path not in spans] == []
    assert [why for why in tiering.Why if f"{why}" not in spans] == []
    source = " ".join(
        (markdown.ROOT / "operator" / "heterofleet" / "router" / f"{name}.py").read_text(encoding="utf-8")
        for name in ("call", "classify", "recall")
    )
    assert set(re.findall(r"x-heterofleet-[a-z]+", source)) == set(re.findall(r"x-heterofleet-[a-z]+", spans))
