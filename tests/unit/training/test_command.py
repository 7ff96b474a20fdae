"""`heterofleet train-classifier`: what it prints and writes, and one sentence with exit code 2 for bad input."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from heterofleet.cli import main
from heterofleet.router import classify

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*argv: str | Path) -> tuple[int, str, str]:
        code = main.main(["train-classifier", *map(str, argv)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Sums of small numbers, which the small model can do, and of large ones, which it cannot."""
    rows = [f"how many are {n} apples and {n + 1} pears?,1,fruit" for n in range(40)]
    rows += [f"{n * 10**12} + {n * 10**9} = ?,0,sums" for n in range(40)]
    path = tmp_path / "traffic.csv"
    path.write_text("\n".join(("prompt,enough,task", *rows)))
    return path


def test_it_reports_and_writes_weights_that_the_router_reads(run: Run, data: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights.json"
    code, out, err = run(data, "--weights", weights, "--threshold-for", "0.5", "-o", "json")
    report = json.loads(out)
    assert (code, err) == (0, "")
    assert report["traffic"] == {"requests": 80, "tasks": 2, "small_models": 1, "large_models": 1, "enough": 0.5}
    assert [(row["split"], row["method"]) for row in report["measures"]] == [
        (split, method)
        for split in ("random", "leave-one-task-out")
        for method in ("ours", "random", "length", "tf-idf", "label")
    ]
    assert (report["measures"][0]["auc"], report["threshold"]["share"]) == (1.0, 0.5)
    assert [(row["split"], row["threshold"]) for row in report["thresholds"]] == [
        (split, threshold)
        for split in ("random", "leave-one-task-out")
        for threshold in (0.3, 0.34, 0.38, 0.42, 0.46, 0.5)
    ]
    assert report["thresholds"][5] == {"split": "random", "threshold": 0.5, "plan": 0.5, "accuracy": 1.0, "pgr": 1.0}
    document = json.loads(weights.read_text())
    assert document["provenance"]["command"] == "heterofleet train-classifier traffic.csv --seed 0"
    assert classify.Weights.parse(weights.read_text()).bias == document["bias"]


def test_the_same_seed_gives_the_same_report_and_weights_also_from_a_compressed_file(
    run: Run, data: Path, tmp_path: Path
) -> None:
    compressed = tmp_path / "traffic.csv.gz"
    compressed.write_bytes(gzip.compress(data.read_bytes()))
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    reports = [run(data, "--weights", first), run(compressed, "--weights", second)]
    assert reports[0] == reports[1]
    assert json.loads(first.read_text())["weights"] == json.loads(second.read_text())["weights"]


def test_people_get_a_table_and_the_threshold(run: Run, data: Path) -> None:
    code, out, _ = run(data, "--threshold-for", "0.25")
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == "80 requests of 2 tasks; small models were enough for 50.0% of them."
    assert lines[2].split() == ["SPLIT", "METHOD", "ACCURACY", "AUC", "APGR", "ECE", "BRIER"]
    assert lines[3].split()[:2] == ["random", "ours"]
    assert lines[lines.index("Ours, by classification.threshold:") + 2].split() == [
        "SPLIT", "THRESHOLD", "PLAN", "ACCURACY", "PGR",
    ]  # fmt: skip
    assert lines[-1].startswith("classification.threshold: 0.")
    assert lines[-1].endswith(" of these requests plan.")


def test_models_can_be_named(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    rows = ({"question": f"{'why ' * (n % 2)}{n}", "tiny": n % 2, "huge": 1} for n in range(60))
    path.write_text("\n".join(json.dumps(row) for row in rows))
    code, out, _ = run(path, "--small", "tiny", "--large", "huge", "-o", "json")
    assert (code, json.loads(out)["traffic"]["tasks"]) == (0, 0)
    assert {row["split"] for row in json.loads(out)["measures"]} == {"random"}


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", b"", "there are no rows"),
        ("a.csv", b"prompt,label\np,1\n", "it has no column question, qwen2.5-7b-instruct, "),
        ("a.csv", b"prompt,enough\np,NaN\n", "line 2: enough must be 0 or 1, not 'NaN'"),
        ("a.csv", b"prompt,enough\n\xff,1\n", "not UTF-8 (invalid start byte at byte 14)"),
        ("a.csv.gz", b"prompt,enough\n", "not a whole gzip file ("),
        ("a.csv.gz", gzip.compress(b"prompt,enough\n")[:-9], "not a whole gzip file ("),
        ("a.jsonl", b"no", "line 1: no JSON ("),
        ("a.txt", b"x", "the name must end with .csv, .jsonl, .ndjson, or with one of them and .gz"),
    ],
)
def test_bad_traffic_gets_one_sentence_and_exit_code_2(
    run: Run, tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    code, out, err = run(path)
    assert (code, out) == (2, "")
    assert err.startswith(f"heterofleet: {path}: {sentence}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (("--seed", "-1"), "--seed must be 0 or more"),
        (("--threshold-for", "30"), "--threshold-for is a share of the requests, between 0 and 1"),
        (("--threshold-for", "nan"), "--threshold-for is a share of the requests, between 0 and 1"),
    ],
)
def test_wrong_options_get_one_sentence_and_exit_code_2(
    run: Run, data: Path, argv: tuple[str, ...], sentence: str
) -> None:
    assert run(data, *argv) == (2, "", f"heterofleet: {sentence}\n")


def test_a_file_that_is_not_there_and_a_folder_get_a_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    assert run(tmp_path / "no.csv") == (2, "", f"heterofleet: {tmp_path}/no.csv: No such file or directory\n")
    assert run(tmp_path / "folder.csv") == (2, "", f"heterofleet: {tmp_path}/folder.csv: Is a directory\n")


def test_weights_that_cannot_be_written_fail_with_a_sentence(run: Run, data: Path, tmp_path: Path) -> None:
    target = tmp_path / "no" / "weights.json"
    assert run(data, "--weights", target) == (1, "", f"heterofleet: {target}: No such file or directory\n")
