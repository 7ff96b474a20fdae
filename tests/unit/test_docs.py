"""Documents say what is so: their links, commands, fields, conditions and code are those that exist."""

import argparse
import contextlib
import io
import pkgutil
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from heterofleet.api import advice, labels
from heterofleet.api.conditions import ConditionType, Reason
from heterofleet.api.labels import FleetKey, Manifest
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cli import arguments
from heterofleet.control import metrics, series
from heterofleet.desired import alerts
from heterofleet.planning import acceptance, catalogue
from unit import markdown, typed

DOCUMENTS = markdown.documents()
GUIDES = [
    markdown.ROOT / name
    for name in (
        "README.md",
        "CHANGELOG.md",
        "SECURITY.md",
        *(
            f"docs/{name}.md"
            for name in (
                "concepts",
                "gitops",
                "install",
                "operations",
                "router",
                "scaling",
                "troubleshooting",
                "tuning",
            )
        ),
    )
]
"""Documents for people; docs/cli.md shows wrong fields on purpose, the reference is generated."""


def of_documents(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=markdown.named)


@of_documents(DOCUMENTS)
def test_relative_links_lead_to_files_and_headings(path: Path) -> None:
    broken = []
    for target in markdown.links(path.read_text(encoding="utf-8")):
        file, _, heading = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        if not found.exists() or (heading and heading not in markdown.anchors(found.read_text(encoding="utf-8"))):
            broken.append(target)
    assert broken == []


def _commands() -> dict[str, argparse.ArgumentParser]:
    actions = arguments.parser()._actions
    return next(dict(a.choices) for a in actions if isinstance(a, argparse._SubParsersAction))


def _is_understood(words: list[str]) -> bool:
    if len(words) == 1:
        return words[0] in _commands()  # It is spoken of, not typed.
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            arguments.parser().parse_args(["bash" if word == "SHELL" else word for word in words])
    except SystemExit:
        return False
    return True


@of_documents(DOCUMENTS)
def test_every_command_line_is_one_that_the_program_takes(path: Path) -> None:
    invoked = list(typed.heterofleet(path.read_text(encoding="utf-8")))
    assert [words for words in invoked if not _is_understood(words)] == []


def test_command_lines_are_found_in_the_documents() -> None:
    found = {words[0] for path in DOCUMENTS for words in typed.heterofleet(path.read_text(encoding="utf-8"))}
    assert found == set(_commands()) - {"version"}


_MADE = re.compile(r"^(?:\$ )?(?:[A-Z]+=\S+ )*make ([a-z][a-z0-9-]*)")


@of_documents(DOCUMENTS)
def test_every_make_target_exists(path: Path) -> None:
    makefile = (markdown.ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    named = {match[1] for line in markdown.code(path.read_text(encoding="utf-8")) if (match := _MADE.match(line))}
    assert sorted(named - targets) == []


def _fleets() -> list[Any]:
    return [
        pytest.param(body, id=f"{markdown.named(path)}-{body['metadata']['name']}")
        for path in DOCUMENTS
        for body in markdown.yamls(path.read_text(encoding="utf-8"))
        if body.get("kind") == labels.FLEET_KIND
    ]


@pytest.mark.parametrize("body", _fleets())
def test_every_fleet_in_a_document_would_be_accepted(body: Manifest) -> None:
    fleet = HeterogeneousDeployment.parse(body)
    found = acceptance.remarks(fleet.spec, catalogue.load())
    assert [remark.message for remark in found if remark.refuses] == []


_CONDITION = re.compile(r"^([A-Z][A-Za-z]+)(?:=(?:True|False))?/([A-Z][A-Za-z]+)$")


@of_documents(DOCUMENTS)
def test_every_condition_stands_with_a_reason_that_it_can_have(path: Path) -> None:
    pairs = {m.groups() for span in markdown.spans(path.read_text(encoding="utf-8")) if (m := _CONDITION.match(span))}
    possible = {(str(type_), str(reason)) for reason, about in advice.ADVICE.items() for type_ in about.conditions}
    assert sorted(pairs - possible) == []


def test_troubleshooting_has_every_reason_for_which_somebody_must_act() -> None:
    text = (markdown.ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    acted_on = {ConditionType.ACCEPTED, ConditionType.DEGRADED, ConditionType.SCALING_LIMITED, ConditionType.STALLED}
    must = {reason for reason, about in advice.ADVICE.items() if about.to_do and acted_on & set(about.conditions)}
    elsewhere = {Reason.FIT_UNKNOWN, Reason.FAST_FABRIC_NEEDED}  # These warn.
    assert sorted(reason for reason in must - elsewhere if f"{reason}`" not in text) == []


def test_operations_say_what_to_do_for_every_reason_that_asks_for_it() -> None:
    text = (markdown.ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    told = {match[2] for span in markdown.spans(text) if (match := _CONDITION.match(span))}
    assert sorted({str(reason) for reason, about in advice.ADVICE.items() if about.to_do} - told) == []


_FIELD = re.compile(r"^[a-z][A-Za-z]*(?:\[\])?(?:\.[A-Za-z]+(?:\[\])?)+$")
_FILES = (".py", ".yaml", ".md", ".tgz", ".lock", ".toml", ".tpl", ".json", ".jsonl")


def _fields(text: str) -> set[str]:
    """Paths of fields, as `lifecycle.drainTimeoutSeconds` or, with a value, `router.instances.min: 0`."""
    paths = {re.split(r"[:=] ?", span)[0].replace("TIER", "large") for span in markdown.spans(text)}
    return {path for path in paths if _FIELD.match(path) and not path.endswith(_FILES)}


def _schema(plural: str) -> Manifest:
    definition = yaml.safe_load((markdown.ROOT / "crds" / f"{labels.GROUP}_{plural}.yaml").read_text(encoding="utf-8"))
    schema: Manifest = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _has(schema: Manifest, path: list[str]) -> bool:
    if not path or "properties" not in schema:
        return True  # Maps and overlays hold what their user puts there.
    field, *rest = path
    found = schema["properties"].get(field.removesuffix("[]"))
    return found is not None and _has(found.get("items", found), rest)


@of_documents(GUIDES)
def test_every_field_and_chart_value_exists(path: Path) -> None:
    fleet, tier = _schema(labels.FLEET_PLURAL), _schema(labels.TIER_PLURAL)
    spec = fleet["properties"]["spec"]
    values = yaml.safe_load((markdown.ROOT / "charts" / "heterofleet" / "values.yaml").read_text(encoding="utf-8"))
    places = (fleet, tier, spec, spec["properties"]["large"], spec["properties"]["router"])

    def exists(name: str) -> bool:
        first, *rest = name.split(".")
        if first in values and (not rest or rest[0] in values[first]):
            return True
        return any(first in place["properties"] and _has(place, [first, *rest]) for place in places)

    assert sorted(name for name in _fields(path.read_text(encoding="utf-8")) if not exists(name)) == []


_LABEL = re.compile(r"(?<![\w.])heterofleet\.io/[a-z0-9-]+")


@of_documents(GUIDES)
def test_every_label_and_annotation_exists(path: Path) -> None:
    known = {value for value in vars(labels).values() if isinstance(value, str)}
    assert sorted(set(_LABEL.findall(path.read_text(encoding="utf-8"))) - known) == []


class _NoFleets:
    def fleets(self) -> tuple[FleetKey, ...]:
        return ()

    def fleet_version(self, key: FleetKey) -> int:
        raise KeyError(key)

    def fleet(self, key: FleetKey) -> Manifest | None:
        raise KeyError(key)


def _exported() -> set[str]:
    exported = metrics.Metrics()
    exported.observe(queue_depth=lambda: 0, leading=lambda: False, silence_seconds=lambda: 0.0)
    exported.count_objects(dict)
    exported.collect_fleets(series.FleetSeries(_NoFleets()))
    return set(re.findall(r"^# HELP (\S+)", exported.exposition().decode(), re.MULTILINE))


def test_every_series_and_alert_of_the_operations_exists() -> None:
    text = (markdown.ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    named = {span.partition("{")[0].replace("…_", metrics.PREFIX) for span in markdown.spans(text)}
    fleet = HeterogeneousDeployment.parse(next(markdown.yamls(text)))
    ruled = {rule.get("record") or rule["alert"] for rule in alerts.rules(fleet)}
    assert {name for name in named if name.startswith(metrics.PREFIX)} <= _exported()
    assert {name for name in named if name.startswith(("heterofleet:", "Heterofleet"))} == ruled


class _Passage:
    """One file of docs/reading.md: where it lies, and the functions that are named."""

    def __init__(self, text: str) -> None:
        heading, _, body = text.partition("\n")
        self.module = re.sub(r"^\d+\. ", "", heading).removesuffix(".py").replace("/", ".")
        self.names = [span for span in markdown.spans(body) if span.startswith("heterofleet.")]


def _ways() -> dict[str, list[_Passage]]:
    text = (markdown.ROOT / "docs" / "reading.md").read_text(encoding="utf-8")
    ways = [way.split("\n### ") for way in text.split("\n## ")[1:]]
    return {way[0].partition("\n")[0]: [_Passage(part) for part in way[1:]] for way in ways}


@pytest.mark.parametrize(
    ("way", "first", "last"),
    [
        ("From a resource to its StatefulSet", "api.v1alpha1", "cluster.apply"),
        ("From a request's bytes to its answer", "router.inbound", "router.relay"),
    ],
)
def test_six_files_at_most_are_a_way_through_the_code(way: str, first: str, last: str) -> None:
    modules = [passage.module for passage in _ways()[way]]
    assert modules[0] == first
    assert modules[-1] == last
    assert len(modules) <= 6


@pytest.mark.parametrize("passage", [p for way in _ways().values() for p in way], ids=lambda passage: passage.module)
def test_what_the_reading_names_can_be_imported_from_the_file_it_names(passage: _Passage) -> None:
    assert passage.names != []
    for name in passage.names:
        assert name.startswith(f"heterofleet.{passage.module}.")
        assert callable(pkgutil.resolve_name(name))
