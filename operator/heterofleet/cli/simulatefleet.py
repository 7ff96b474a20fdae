"""The fleet that is simulated: of a file, with what `--set` puts in its place.

A changed fleet is read and judged like one from a file, so that what admission or the operator would refuse is refused
here with the same sentence.
"""

import copy
import itertools
import re
import sys
from collections.abc import Sequence
from typing import Any, Final

import yaml

from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cli import findings, judgement, schema, validate, yamltext
from heterofleet.cli.errors import CliError, UsageError
from heterofleet.cli.judgement import Severity
from heterofleet.cli.yamltext import Path
from heterofleet.planning import catalogue

_STEP: Final = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)((?:\[\d+\])*)")


def read(file: str, name: str | None, changes: Sequence[str]) -> HeterogeneousDeployment:
    """The fleet of a file, changed. Raises UsageError for a change that is wrong, CliError for a wrong file."""
    (source,) = validate.sources([file], sys.stdin)
    examined = findings.examine(source.text, catalogue.load())
    if examined.errors:
        validate.show(source, examined, sys.stderr)
        raise CliError(f"{source.name}: no fleet to simulate")
    fleet = _chosen(examined.fleets, name, source.name)
    return changed(fleet, changes) if changes else fleet


def changed(fleet: HeterogeneousDeployment, changes: Sequence[str]) -> HeterogeneousDeployment:
    """The fleet with values set, each as PATH=VALUE. Raises UsageError."""
    body = fleet.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"status"})
    set_paths: dict[Path, str] = {}
    for change in changes:
        path, value = _parsed(change)
        _put(body, path, value, change)
        set_paths[path] = change
    reading = schema.read(body)
    if reading.fleet is None:
        violation = reading.violations[0]
        raise UsageError(_sentence(set_paths, violation.path, violation.message))
    for found in judgement.judge(reading.fleet, catalogue.load()):
        if found.severity is Severity.ERROR:
            raise UsageError(_sentence(set_paths, found.path, found.message))
    return reading.fleet


def _chosen(fleets: Sequence[HeterogeneousDeployment], name: str | None, source: str) -> HeterogeneousDeployment:
    names = ", ".join(fleet.metadata.name for fleet in fleets)
    if not fleets:
        raise CliError(f"{source}: holds no fleet")
    if name is None and len(fleets) > 1:
        raise UsageError(f"{source} holds several fleets ({names}): choose one with --fleet")
    found = [fleet for fleet in fleets if name in (None, fleet.metadata.name)]
    if not found:
        raise UsageError(f"{source} has no fleet {name}; it has {names}")
    return found[0]


def _parsed(change: str) -> tuple[Path, Any]:
    written, equals, value = change.partition("=")
    steps: list[str | int] = []
    for part in written.strip().split("."):
        found = _STEP.fullmatch(part)
        if not equals or found is None:
            raise UsageError(f"--set {change}: write PATH=VALUE, such as scaling.forecast.quantile=0.95")
        steps += [found[1], *(int(index) for index in re.findall(r"\d+", found[2]))]
    if steps[0] != "spec":
        steps.insert(0, "spec")
    try:
        return tuple(steps), yaml.safe_load(value)
    except yaml.YAMLError as exc:
        raise UsageError(f"--set {change}: the value is no YAML; put it into quotes") from exc


def _put(body: Any, path: Path, value: Any, change: str) -> None:
    """Set a value, and make what encloses it."""
    at = body
    for step, below in itertools.pairwise(path):
        at = _below(at, step, [] if isinstance(below, int) else {}, change)
    _below(at, path[-1], None, change)
    at[path[-1]] = copy.deepcopy(value)


def _below(at: Any, step: str | int, empty: Any, change: str) -> Any:
    if isinstance(step, int):
        if not isinstance(at, list):
            raise UsageError(f"--set {change}: [{step}] stands behind what is no list")
        if step > len(at):
            raise UsageError(f"--set {change}: the list has {len(at)} items: write [{len(at)}] to add one")
        if step == len(at):
            at.append(empty)
        return at[step]
    if isinstance(at, list):
        raise UsageError(f"--set {change}: {step} stands behind a list: write an index such as [0] before it")
    if not isinstance(at, dict):
        raise UsageError(f"--set {change}: {step} stands behind a value that holds no fields")
    if at.get(step) is None:
        at[step] = empty
    return at[step]


def _sentence(changes: dict[Path, str], path: Path, message: str) -> str:
    """Names the change at fault where there is one, and the field where a rule of both is broken."""
    if path in changes:
        return f"--set {changes[path]}: {message}"
    return f"with --set {' --set '.join(changes.values())}: {yamltext.dotted(path)}: {message}"
