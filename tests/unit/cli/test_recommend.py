"""`heterofleet recommend`: from a load to a fleet that validates; what is wrong is one sentence."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from heterofleet.api.conditions import FleetStatus
from heterofleet.api.planned import Forecasts, ForecastStatus, Learned
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cli import arguments, main, recommendload, recommendquestions
from heterofleet.cli.errors import CliError
from heterofleet.recommend import loadprofile
from unit.cli import planned

pytest.importorskip("numpy")

HOUR = "\n".join(["class,minute,requests,input_tokens,output_tokens",
                  *(f"{name},{minute},{60 * rate},{6000 * rate},{1200 * rate}"
                    for name, rate in (("plan", 1), ("act", 5)) for minute in range(60))])  # fmt: skip

ONE_GPU = ["--pair", "qwen3-30b", "--gpus-per-node", "1", "--name", "chat"]
"""Few shapes fit one GPU, so that few have to be measured."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trace.csv").write_text(HOUR)
    return tmp_path


def options(*words: str) -> argparse.Namespace:
    return arguments.parser().parse_args(["recommend", *words])


def test_a_trace_gives_a_fleet_that_validates_with_its_evidence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["recommend", "trace.csv", "--write", "fleet.yaml", *ONE_GPU, "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"].startswith("A mixed fleet never pays with these models")
    assert told["load"]["steps_per_plan"] == 5
    assert told["evidence"]["holds"]
    assert max(told["evidence"]["missed_objective_share"].values()) <= told["evidence"]["allowed_share"]
    assert main.main(["validate", "fleet.yaml"]) == 0
    assert told["verdict"] in Path("fleet.yaml").read_text()


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ([], 2, "say what the load is: a TRACE, a Prometheus' address with --fleet"),
        (["--qps", "nan"], 2, "argument --qps: nan is not between 0.001 and 1,000,000"),
        (["--qps", "-1"], 2, "argument --qps: -1 is not between"),
        (["--qps", "0"], 2, "argument --qps: 0 is not between"),
        (["--qps", "1e30"], 2, "argument --qps: 1e30 is not between"),
        (["--qps", "many"], 2, "argument --qps: 'many' is not a number"),
        (["--qps", "30", "--steps", "inf"], 2, "argument --steps: inf is not between"),
        (["--qps", "30", "--gpus", "2.5"], 2, "argument --gpus: 2.5 is not a whole number"),
        (["--qps", "30", "--escalation-rate", "5"], 2, "argument --escalation-rate: 5 is not between 0 and 1"),
        (["--qps", "30", "--pair", "qwen"], 2, "--pair: no pair 'qwen'; did you mean qwen3?"),
        (["--qps", "30", "--gpu", "H101"], 2, "--gpu H101: nobody has measured engines on it; choose from NVIDIA-A100"),
        (["--qps", "30", "--weights", "models"], 2, "write a folder of the nodes such as /var/lib/models, or none"),
        (["--qps", "30", "--name", "My_Fleet"], 2, "a name has small letters, digits and '-'"),
        (
            ["--qps", "30", "--prompt-tokens", "40000"],
            2,
            "a mean plan request has 40,500 tokens, more than the context",
        ),
        (["--qps", "30", "trace.csv"], 2, "--qps says what a trace says already"),
        (["trace.csv", "--gpus", "1"], 1, "one instance of the large model takes 4 GPUs, and there are 1"),
        (["--qps", "1", "--pair", "hf://a/b+hf://c/d"], 1, "the large model hf://a/b is not in the catalogue"),
        (["no.csv"], 2, "no.csv: no such file"),
        (["trace.csv", "--time-zone", "Mars/Olympus"], 2, "--time-zone Mars/Olympus is not known"),
        (["http://127.0.0.1:9"], 2, "say whose load is asked for with --fleet NAME"),
        (["http://127.0.0.1:9", "--fleet", "chat"], 1, ""),
        (["--fleet", "chat", "--kubeconfig", "none.yaml"], 1, "kubeconfig none.yaml: no such file"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    capsys: pytest.CaptureFixture[str], words: list[str], code: int, sentence: str
) -> None:
    try:
        ended = main.main(["recommend", *words])
    except SystemExit as stopped:
        ended = int(stopped.code or 0)
    told = capsys.readouterr()
    assert (ended, told.out) == (code, "")
    assert sentence in told.err
    assert "Traceback" not in told.err


def test_a_trace_with_other_columns_says_which_there_should_be(capsys: pytest.CaptureFixture[str]) -> None:
    Path("other.csv").write_text("when,tokens\n1,2\n")
    assert main.main(["recommend", "other.csv"]) == 2
    assert "name the columns timestamp, input_tokens, output_tokens" in capsys.readouterr().err


def test_questions_are_asked_again_until_the_answer_is_good() -> None:
    asked = options()
    typed: Iterator[str] = iter(["-3", "12", "", "800", "", "", "64", "n", "y"])
    told: list[str] = []
    recommendquestions.ask(asked, asked.parser, lambda _: next(typed), told.append)
    assert told == ["-3 is not between 0.001 and 1,000,000"]
    assert (asked.qps, asked.steps, asked.prompt_tokens, asked.gpus) == (12, 5, 800, 64)
    assert (asked.batch, asked.quality, asked.escalation_rate) == (True, "strict", None)


def test_options_that_were_typed_are_not_asked_for() -> None:
    asked = options("--steps", "9", "--interactive", "--quality", "strict", "--gpus", "8", "--escalation-rate", "0.1")
    typed: Iterator[str] = iter(["40", "", ""])
    recommendquestions.ask(asked, asked.parser, lambda _: next(typed), print)
    assert (asked.qps, asked.steps, asked.batch) == (40, 9, False)


def test_a_running_fleets_status_is_a_load() -> None:
    foreseen = ForecastStatus(tokens_per_second=6000, expected_tokens_per_second=5000, window_seconds=300)
    learned = Learned(escalation_rate=0.02)
    status = FleetStatus(forecast=Forecasts(plan=foreseen, act=foreseen), learned=learned)
    fleet = HeterogeneousDeployment.parse(planned.fleet()).model_copy(update={"status": status})
    load = recommendload.read(options("--fleet", "chat"), lambda _: fleet)
    assert load.fleet is fleet
    assert (load.made_up, load.escalation) == (True, 0.02)
    assert loadprofile.of(load.trace, None, batch=False).peak_qps == pytest.approx(2 * 6000 / 600, rel=0.05)
    assert "made up from answers" in load.trace.remarks[0]


def test_a_fleet_that_has_forecast_nothing_says_what_to_give_instead() -> None:
    silent = HeterogeneousDeployment.parse(planned.fleet()).model_copy(update={"status": FleetStatus()})
    with pytest.raises(CliError, match=r"has not forecast its load yet .* or give --qps"):
        recommendload.read(options("--fleet", "chat"), lambda _: silent)
