"""`heterofleet validate` as its user meets it: whole outputs and exit codes."""

import io
import json
from pathlib import Path

import pytest

from heterofleet.cli import main

SOUND = """\
apiVersion: heterofleet.io/v1alpha1
kind: HeterogeneousDeployment
metadata: {name: chat}
spec:
  large:
    model: {source: "hf://Qwen/Qwen3-32B"}
    parallelism: {tensor: 8}
    placement: {gpuProduct: NVIDIA-A100-SXM4-80GB}
  small:
    model: {source: "hf://Qwen/Qwen3-4B"}
    placement: {gpuProduct: NVIDIA-A100-SXM4-80GB}
"""
BROKEN = SOUND.replace("{tensor: 8}", "{tensor: 8, pipelin: 2}")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_valid_file_is_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "fleet.yaml").write_text(SOUND)
    assert main.main(["validate", "fleet.yaml"]) == 0
    assert capsys.readouterr() == ("fleet.yaml: 1 fleet, valid\n", "")


def test_an_error_shows_its_line_and_fails(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "fleet.yaml").write_text(BROKEN)
    assert main.main(["validate", "fleet.yaml"]) == 1
    assert capsys.readouterr() == (
        "fleet.yaml:7:30: error: spec.large.parallelism.pipelin: unknown field; did you mean pipeline?\n"
        "    7 |     parallelism: {tensor: 8, pipelin: 2}\n"
        "      |                              ^^^^^^^\n"
        "fleet.yaml: 1 fleet, 1 error\n",
        "",
    )


def test_findings_can_be_read_by_programs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "fleet.yaml").write_text(BROKEN)
    assert main.main(["validate", "fleet.yaml", "-o", "json"]) == 1
    assert json.loads(capsys.readouterr().out) == [
        {
            "file": "fleet.yaml",
            "line": 7,
            "column": 30,
            "severity": "error",
            "path": "spec.large.parallelism.pipelin",
            "reason": "InvalidSpec",
            "message": "unknown field; did you mean pipeline?",
        }
    ]


def test_a_folder_stands_for_its_manifests(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in {"a.yaml": SOUND, "b.yml": SOUND, "notes.txt": "hello: :"}.items():
        (here / name).write_text(text)
    assert main.main(["validate", "."]) == 0
    assert capsys.readouterr().out == "a.yaml: 1 fleet, valid\nb.yml: 1 fleet, valid\n"


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(SOUND))
    assert main.main(["validate", "-"]) == 0
    assert capsys.readouterr().out == "stdin: 1 fleet, valid\n"


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("missing.yaml", None, "missing.yaml: no such file or directory"),
        ("image.yaml", b"a: \xff", "image.yaml: is not text in UTF-8 (byte 3)"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(
    here: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes | None, sentence: str
) -> None:
    if content is not None:
        (here / name).write_bytes(content)
    assert main.main(["validate", name]) == 1
    assert capsys.readouterr() == ("", f"heterofleet: {sentence}\n")


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["vaildate", "x"], "heterofleet: 'vaildate' is not known; did you mean validate?"),
        (["status", "-o", "xml"], "heterofleet status: 'xml' is not known; choose from table, json, yaml, name"),
        (["validate"], "heterofleet validate: the following arguments are required: FILE"),
    ],
)
def test_wrong_usage_is_exit_code_2(argv: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(argv)
    assert caught.value.code == 2
    program = sentence.split(":", maxsplit=1)[0]
    assert capsys.readouterr() == ("", f"{sentence}\nTry '{program} --help'.\n")
