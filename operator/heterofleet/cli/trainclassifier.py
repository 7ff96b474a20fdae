"""`heterofleet train-classifier`: labelled traffic in, the router's weights and a report of their worth out.

The edge of `training`: reads the file, writes the weights, shows the report. numpy is loaded when it runs.
"""

import argparse
import gzip
import hashlib
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from heterofleet.cli import output
from heterofleet.cli.errors import CliError, UsageError

if TYPE_CHECKING:
    from heterofleet.training.evaluation import Chosen, Row
    from heterofleet.training.measures import Cut, Measures
    from heterofleet.training.traffic import Traffic

_COMPRESSED: Final = ".gz"
_JSON_LINES: Final = (".jsonl", ".ndjson")
_KINDS: Final = (".csv", *_JSON_LINES)


def run(options: argparse.Namespace) -> int:
    _refuse_wrong(options)
    try:
        from heterofleet.training import classifier, evaluation, traffic  # noqa: PLC0415  numpy takes its time
    except ImportError as exc:
        raise CliError(f"{exc.name} is not installed: pip install 'heterofleet[cli,simulate]'") from exc
    path = Path(options.file)
    content = _content(path)
    try:
        labelled = traffic.read(
            _text(path, content),
            lines_of_json=_kind(path) in _JSON_LINES,
            small=options.small or traffic.SMALL,
            large=options.large or traffic.LARGE,
        )
    except traffic.InvalidTraffic as exc:
        raise UsageError(f"{path}: {exc}") from exc
    columns = classifier.matrix(labelled.requests)
    rows, chosen = evaluation.measure(labelled, columns, options.seed)
    model = classifier.rounded(classifier.train(columns, labelled.target, options.seed))
    document: dict[str, Any] = {
        "traffic": _facts(labelled),
        "measures": [{"split": row.split, "method": row.method, **_rounded(row.measures)} for row in rows],
        "thresholds": [{"split": one.split, **_rounded(one.cut)} for one in chosen],
    }
    if options.threshold_for is not None:
        document["threshold"] = classifier.threshold(model.scores(columns), options.threshold_for)
    if options.weights:
        _write(Path(options.weights), classifier.written(model, _provenance(options, path, content, labelled)))
    _show(options, document, rows, chosen)
    return 0


def _refuse_wrong(options: argparse.Namespace) -> None:
    if options.seed < 0:
        raise UsageError("--seed must be 0 or more")
    if options.threshold_for is not None and not 0 <= options.threshold_for <= 1:
        raise UsageError("--threshold-for is a share of the requests, between 0 and 1")
    if _kind(Path(options.file)) not in _KINDS:
        raise UsageError(f"{options.file}: the name must end with {', '.join(_KINDS)}, or with one of them and .gz")


def _kind(path: Path) -> str:
    return (path.with_suffix("") if path.suffix == _COMPRESSED else path).suffix.lower()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise UsageError(f"{path}: {exc.strerror}") from exc


def _text(path: Path, content: bytes) -> str:
    try:
        return (gzip.decompress(content) if path.suffix == _COMPRESSED else content).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error) as exc:
        raise UsageError(f"{path}: not a whole gzip file ({exc})") from exc
    except UnicodeDecodeError as exc:
        raise UsageError(f"{path}: not UTF-8 ({exc.reason} at byte {exc.start})") from exc


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise CliError(f"{path}: {exc.strerror}") from exc


def _provenance(options: argparse.Namespace, path: Path, content: bytes, traffic: "Traffic") -> dict[str, Any]:
    """Where weights are from: what to type, and the data's digest; no folder or time, which would differ."""
    chosen = [
        word for flag in ("small", "large") for name in getattr(options, flag) or () for word in (f"--{flag}", name)
    ]
    words = ["heterofleet", "train-classifier", path.name, *chosen, "--seed", str(options.seed)]
    return {"command": " ".join(words), "sha256": hashlib.sha256(content).hexdigest(), **_facts(traffic)}


def _facts(traffic: "Traffic") -> dict[str, Any]:
    return {
        "requests": len(traffic.requests),
        "tasks": len(set(traffic.tasks)),
        "small_models": traffic.small.shape[1],
        "large_models": traffic.large.shape[1],
        "enough": round(float(traffic.target.mean()), 4),
    }


def _rounded(measured: "Measures | Cut") -> dict[str, Any]:
    return {name: None if value is None else round(value, 4) for name, value in measured._asdict().items()}


def _show(
    options: argparse.Namespace, document: dict[str, Any], rows: Sequence["Row"], chosen: Sequence["Chosen"]
) -> None:
    if options.output != "table":
        output.dump(options.output, document)
        return
    from heterofleet.cli import columns, terminal  # noqa: PLC0415  no need of them for JSON

    facts = document["traffic"]
    print(
        f"{facts['requests']} requests of {facts['tasks'] or 'unnamed'} tasks; small models were enough for"
        f" {facts['enough']:.1%} of them.\n"
    )
    sys.stdout.flush()
    terminal.show(terminal.console(), columns.table(_table(columns, rows)))
    print("\nOurs, by classification.threshold:\n", flush=True)
    terminal.show(terminal.console(), columns.table(_thresholds(columns, chosen)))
    if "threshold" in document:
        found = document["threshold"]
        print(f"\nclassification.threshold: {found['threshold']} makes {found['share']:.1%} of these requests plan.")


def _table(columns: Any, rows: Sequence["Row"]) -> list[Any]:
    measured = [row.measures for row in rows]
    return [
        columns.of("SPLIT", *(row.split for row in rows)),
        columns.of("METHOD", *(row.method for row in rows)),
        *(_numbers(columns, name, measured) for name in ("accuracy", "auc", "apgr", "ece", "brier")),
    ]


def _thresholds(columns: Any, chosen: Sequence["Chosen"]) -> list[Any]:
    cuts = [one.cut for one in chosen]
    return [
        columns.of("SPLIT", *(one.split for one in chosen)),
        columns.of("THRESHOLD", *(f"{cut.threshold:.2f}" for cut in cuts), right=True),
        *(_numbers(columns, name, cuts) for name in ("plan", "accuracy", "pgr")),
    ]


def _numbers(columns: Any, name: str, measured: Sequence["Measures | Cut"]) -> Any:
    found = [getattr(one, name) for one in measured]
    return columns.of(name.upper(), *("-" if value is None else f"{value:.3f}" for value in found), right=True)
