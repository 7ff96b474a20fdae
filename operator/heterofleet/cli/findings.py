"""Everything there is to say of a file's fleets, each with its place: `yamltext`, `schema` and `judgement` composed.

Pure: text in, findings out; `validate` reads the files and prints.
"""

import difflib
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from heterofleet.api.labels import API_VERSION, FLEET_KIND, GROUP, TIER_KIND
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cli import judgement, schema, yamltext
from heterofleet.cli.judgement import Severity
from heterofleet.cli.yamltext import Document, Path, Span
from heterofleet.planning.catalogue import Catalogue


class Finding(NamedTuple):
    """One sentence about one place; `path` is empty where the whole document is meant."""

    severity: Severity
    span: Span
    path: str
    reason: str
    message: str


class Examined(NamedTuple):
    """What a text holds: the fleets that are sound in schema, how many were meant, and the findings."""

    fleets: tuple[HeterogeneousDeployment, ...]
    meant: int
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> int:
        return sum(finding.severity is Severity.ERROR for finding in self.findings)

    @property
    def warnings(self) -> int:
        return sum(finding.severity is Severity.WARNING for finding in self.findings)


def examine(text: str, known: Catalogue) -> Examined:
    """Read every document of `text`, in order; `known` is the catalogue of models and GPUs."""
    fleets: list[HeterogeneousDeployment] = []
    findings: list[Finding] = []
    meant = 0
    for document in _documents(text, findings):
        about, place = _about(document.body)
        if about is not None:
            findings.append(Finding(about.severity, document.value_span(place), yamltext.dotted(place), "", about.text))
        if about is None or about.severity is Severity.ERROR:
            meant += 1
        if about is None:
            reading = schema.read(document.body)
            findings.extend(_refusals(document, reading))
            if reading.fleet is not None:
                findings.extend(_repeats(document, reading.fleet, fleets))
                fleets.append(reading.fleet)
                findings.extend(_judgements(document, reading.fleet, known))
    return Examined(tuple(fleets), meant, tuple(findings))


class _About(NamedTuple):
    severity: Severity
    text: str


_ALIKE: Final = 0.85
"""How near a kind's name must be to ours to be read as a slip of the pen."""


def _documents(text: str, findings: list[Finding]) -> Iterator[Document]:
    try:
        for document in yamltext.documents(text):
            if isinstance(document.body, dict) and isinstance(document.body.get("items"), list):
                yield from (document.below(("items", index)) for index in range(len(document.body["items"])))
            else:
                yield document
    except yamltext.UnreadableError as error:
        findings.append(Finding(Severity.ERROR, error.span, "", "", str(error)))


def _about(body: Any) -> tuple[_About | None, Path]:
    """Say why a document is not a fleet; None when it is one."""
    if not isinstance(body, dict):
        return _About(Severity.ERROR, "is not a Kubernetes object: it has no apiVersion and kind"), ()
    version, kind = str(body.get("apiVersion", "")), str(body.get("kind", ""))
    if kind == FLEET_KIND and version == API_VERSION:
        return None, ()
    if kind == FLEET_KIND:
        return _About(Severity.ERROR, f"apiVersion must be {API_VERSION}, not {version or 'empty'}"), ("apiVersion",)
    if kind == TIER_KIND:
        return _About(Severity.NOTE, f"{TIER_KIND} is the operator's own object: leave it out of files"), ("kind",)
    ours = version.split("/", maxsplit=1)[0] == GROUP
    if ours or difflib.SequenceMatcher(None, kind, FLEET_KIND).ratio() >= _ALIKE:
        wrong = f"kind {kind} is unknown" if kind else "kind is missing"
        return _About(Severity.ERROR, f"{wrong}; did you mean {FLEET_KIND}?"), ("kind",)
    if not kind or not version:
        return _About(Severity.ERROR, "is not a Kubernetes object: it has no apiVersion and kind"), ()
    return _About(Severity.NOTE, f"{kind} is not a fleet: skipped"), ("kind",)


def _refusals(document: Document, reading: schema.Reading) -> list[Finding]:
    found = [
        Finding(
            Severity.ERROR,
            document.key_span(violation.path) if violation.at_key else document.value_span(violation.path),
            yamltext.dotted(violation.path),
            "InvalidSpec",
            violation.message,
        )
        for violation in reading.violations
    ]
    return sorted(found, key=lambda finding: finding.span)


def _repeats(
    document: Document, fleet: HeterogeneousDeployment, before: list[HeterogeneousDeployment]
) -> Iterator[Finding]:
    """Of two fleets with one name the later one would silently be the one that is applied."""
    if any(other.key == fleet.key for other in before):
        path: Path = ("metadata", "name")
        message = f"{fleet.key.name} in namespace {fleet.key.namespace} stands here twice, and the last one counts"
        yield Finding(Severity.WARNING, document.value_span(path), yamltext.dotted(path), "", message)


def _judgements(document: Document, fleet: HeterogeneousDeployment, known: Catalogue) -> Iterator[Finding]:
    for path, severity, reason, message in judgement.judge(fleet, known):
        yield Finding(severity, document.value_span(path), yamltext.dotted(path), str(reason), message)
