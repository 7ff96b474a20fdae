"""Command lines of the documents that need no cluster, run in a folder with the files that they name."""

import gzip
import io
import itertools
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from heterofleet.cli import main
from unit import markdown, typed
from unit.typed import Typed, Where

DATA: Final = markdown.ROOT / "tests" / "data"
TRACES: Final = DATA / "traces"
ROUTED: Final = DATA / "routing" / "llmrouter_train.csv.gz"
HALF_A_DAY: Final = 720
WRONG_ON_PURPOSE: Final = {"--set scaling.gpuBudgte=400": 2}
"""Pieces of command lines that documents show with the error that they give, and its exit code."""
LOGGED: Final = {
    "at": 1_764_000_000,
    "operation": "chat",
    "outcome": "ok",
    "status": 200,
    "seconds": 0.2,
    "class": "act",
    "tier": "small",
}

COMMANDS: Final = typed.all_of(markdown.documents(), Where.OFFLINE)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.text)
def test_a_command_line_of_the_documents_does_what_they_say(
    command: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    furnish(tmp_path, command)
    monkeypatch.chdir(tmp_path)
    if command.words[0] == "explain-request":
        monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({**LOGGED, "id": command.words[1]}) + "\n"))
    code = main.main(command.words)
    expected = next((code for piece, code in WRONG_ON_PURPOSE.items() if piece in command.text), 0)
    assert (code, capsys.readouterr().err if code else "") == (expected, _said(command) if expected else "")


def _said(command: Typed) -> str:
    """The line that the document shows below a command that fails."""
    lines = [line.strip() for line in command.document.read_text(encoding="utf-8").splitlines()]
    return lines[lines.index(f"$ heterofleet {command.text}") + 1] + "\n"


def furnish(folder: Path, command: Typed) -> None:
    """Lay down what the command line reads: the document's fleet, half a day of a trace, some labelled requests."""
    for word in command.words[1:]:
        path, kept = folder / word, markdown.ROOT / word
        if word.startswith("-") or "=" in word or path.exists():
            continue
        if "/" in word and kept.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if kept.is_dir() else shutil.copy)(kept, path)
        elif word.endswith((".yaml", ".yml")):
            path.write_text(typed.file_of(command.document, word), encoding="utf-8")
        elif word.startswith("traffic."):
            path.write_text("".join(_labelled(as_json=".json" in word)), encoding="utf-8")
        elif ".csv" in word:
            _write(path, "".join(_beginning(TRACES / word if (TRACES / word).exists() else _USUAL)))
    if "manifests/" in command.words:
        # The folder holds more than manifests: people keep those of their fleets there.
        shutil.rmtree(folder / "manifests")
        shutil.copytree(markdown.ROOT / "manifests" / "samples", folder / "manifests")


_USUAL: Final = TRACES / "servegen_1min_reconstructed.csv.gz"


def _beginning(trace: Path) -> Iterator[str]:
    """The first half day of a trace in minutes by model; the first lines of any other."""
    with gzip.open(trace, "rt", encoding="utf-8") as rows:
        header = next(rows)
        yield header
        minutes = header.startswith("model,minute")
        kept = (row for row in rows if int(row.split(",")[1]) < HALF_A_DAY) if minutes else itertools.islice(rows, 2000)
        yield from kept


def _labelled(*, as_json: bool) -> Iterator[str]:
    """Two kinds of requests, one of which the small model answers well."""
    if not as_json:
        yield "prompt,enough,task\n"
    for number in range(120):
        easy = number % 2 == 0
        prompt = f"Add {number} and 4" if easy else f"Prove that the sequence of {number} terms converges, and why"
        row = {"prompt": prompt, "enough": int(easy), "task": "sums" if number % 4 < 2 else "proofs"}
        yield json.dumps(row) + "\n" if as_json else f'"{prompt}",{row["enough"]},{row["task"]}\n'


def _write(path: Path, text: str) -> None:
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("exceptions", "lines"), [(typed.ELSEWHERE, typed.heterofleet), (typed.KUBECTL_ELSEWHERE, typed.kubectl)]
)
def test_every_exception_is_of_a_command_line_that_there_is(
    exceptions: Mapping[str, str], lines: Callable[[str], Iterator[list[str]]]
) -> None:
    texts = [
        " ".join(words) for document in markdown.documents() for words in lines(document.read_text(encoding="utf-8"))
    ]
    assert [piece for piece in exceptions if not any(piece in text for text in texts)] == []


def test_every_reason_of_an_exception_names_tests_that_there_are() -> None:
    named = [
        word.rstrip(":,")
        for reason in (*typed.ELSEWHERE.values(), *typed.KUBECTL_ELSEWHERE.values())
        for word in reason.split()
        if word.startswith("tests/")
    ]
    assert [name for name in named if not (markdown.ROOT / name).exists()] == []
