"""`heterofleet cost`: inputs, a trace or assumptions in, tables and values out; what is wrong is one sentence."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from heterofleet.cli import main

pytest.importorskip("numpy")

FLEET = """\
apiVersion: heterofleet.io/v1alpha1
kind: HeterogeneousDeployment
metadata: {name: chat, namespace: prod}
spec:
  large:
    model: {source: "hf://Qwen/Qwen3-32B"}
    parallelism: {tensor: 4}
    instances: {min: 1, max: 20}
    placement: {gpuProduct: NVIDIA-A100-SXM4-80GB}
    price: {usdPerGpuHour: 2}
  small:
    model: {source: "hf://Qwen/Qwen3-4B"}
    instances: {min: 1, max: 20}
    placement: {gpuProduct: NVIDIA-A100-SXM4-80GB}
    price: {usdPerGpuHour: 1}
"""
OWNED = """\
gpus: {allLarge: 64, mixed: 30}
usdPerGpu: 25000
operationsUsdAYear: {allLarge: 100000, mixed: 110000}
licenceUsdPerGpuYear: 500
"""
WORTH = """\
baseline: {seconds: 6.0, requestsADay: 80000, quality: 0.96}
now: {seconds: 3.5, requestsADay: 95000, quality: 0.95}
worth: {usdPerSecond: 0.0004, usdPerRequest: 0.003, usdPerCorrection: 0.05}
"""
PRICED = ("--usd-per-million-tokens", "0.2", "--million-tokens-per-day", "1000")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    (tmp_path / "fleet.yaml").write_text(FLEET)
    (tmp_path / "owned.yaml").write_text(OWNED)
    (tmp_path / "worth.yaml").write_text(WORTH)
    rows = [f"{name},{minute},600,12000,6000" for name in ("m-large", "m-small") for minute in range(30)]
    text = "\n".join(["model,minute,requests,input_tokens,output_tokens", *rows])
    (tmp_path / "trace.csv.gz").write_bytes(gzip.compress(text.encode()))
    return tmp_path


def cost(*words: str) -> int:
    return main.main(["cost", *words])


def values(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert cost(*words, "-o", "json") == 0
    return json.loads(capsys.readouterr().out)


def rows(told: Any) -> dict[str, dict[str, float]]:
    return {row["system"]: {name: value for name, value in row.items() if name != "system"} for row in told["rows"]}


def test_inputs_give_the_sources_model_in_steps_and_with_a_price_in_money(capsys: pytest.CaptureFixture[str]) -> None:
    told = values(capsys, "--steps", "10", "--relative-cost", "8.5", *PRICED)
    assert told["saving"] == pytest.approx(0.8021, abs=5e-5)
    assert rows(told) == {
        "all large": pytest.approx({"taskCost": 93.5, "usdPerMillionTokens": 1.7, "usdPerDay": 1700}),
        "all small": pytest.approx({"taskCost": 11, "usdPerMillionTokens": 0.2, "usdPerDay": 200}),
        "mixed": pytest.approx(
            {"taskCost": 18.5, "usdPerMillionTokens": 18.5 / 55, "usdPerDay": 18.5 / 55 * 1000}, rel=1e-9
        ),
    }


def test_what_fails_costs_and_a_review_is_held_against_a_step(capsys: pytest.CaptureFixture[str]) -> None:
    rates = ("--escalation-rate", "0.05", "--retry-rate", "0.1", "--review-rate", "0.001", "--usd-per-review", "2")
    told = values(capsys, "--steps", "10", "--relative-cost", "18.2", *rates, *PRICED)
    k = 1 + 0.1 + 0.05 * 18.2 + 0.001 * 2 / (0.2 * 1000 / 1e6)
    assert rows(told)["mixed"]["taskCost"] == pytest.approx(18.2 + 10 * k)


def test_models_of_the_catalogue_give_the_relative_cost(capsys: pytest.CaptureFixture[str]) -> None:
    told = values(capsys, "--large", "Qwen/Qwen3-235B-A22B", "--small", "hf://Qwen/Qwen3-4B", "--steps", "0")
    assert rows(told)["all large"]["taskCost"] == pytest.approx(18.2, rel=1e-3)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--relative-cost", "1"), "A mixed fleet never pays, because a token of the large model costs 1 times"),
        (("--steps", "0"), "Nothing is saved, because N = 0"),
        (("--escalation-rate", "0.9"), "A mixed fleet never pays at these rates, because"),
    ],
)
def test_what_never_pays_is_said_so(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], sentence: str) -> None:
    assert cost(*words) == 0
    assert sentence in capsys.readouterr().out


def test_tco_without_assumptions_is_the_sources_case_beside_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert cost("--tco") == 0
    told = capsys.readouterr().out
    assert [line.split() for line in told.splitlines()[2:8]] == [
        ["COST", "ALL", "LARGE", "MIXED", "SAVED"],
        ["hardware", "2,400", "1,200", "1,200"],
        ["power", "720", "360", "360"],
        ["operations", "300", "200", "100"],
        ["licences", "180", "150", "30"],
        ["total", "3,600", "1,910", "1,690"],
    ]
    for piece in ("Saved a year: 563.", "88.5%", "188.5% (what the source calls its ROI, 189 %)", "25.6 months (the s"):
        assert piece in told


def test_a_file_of_assumptions_gives_another_case(capsys: pytest.CaptureFixture[str]) -> None:
    owned = values(capsys, "--tco", "owned.yaml")["ownership"]
    assert owned["mixed"] == pytest.approx(
        {"hardware": 750e3, "power": 30 * 1.12 * 8766 * 3 * 0.12, "operations": 330e3, "licences": 45e3, "rent": 0}
        | {"total": owned["mixed"]["total"]}
    )
    assert owned["returnOnInvestment"] == pytest.approx(owned["ratio"] - 1)


def test_the_sources_totals_may_be_written_into_a_file(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    both = {
        "allLarge": {"hardware": 2.4e6, "power": 7.2e5, "operations": 3e5, "licences": 1.8e5},
        "mixed": {"hardware": 1.2e6, "power": 3.6e5, "operations": 2e5, "licences": 1.5e5},
    }
    (folder / "source.yaml").write_text(yaml.dump(both))
    assert values(capsys, "--tco", "source.yaml") == values(capsys, "--tco")


def test_value_is_in_usd_a_day(capsys: pytest.CaptureFixture[str]) -> None:
    assert values(capsys, "--value", "worth.yaml") == {
        "value": pytest.approx({"latency": 95.0, "throughput": 45.0, "quality": -47.5, "total": 92.5})
    }


def test_a_trace_is_played_on_the_fleet_and_on_each_model_alone(capsys: pytest.CaptureFixture[str]) -> None:
    told = values(capsys, "--file", "fleet.yaml", "--trace", "trace.csv.gz", "--tco")
    found = rows(told)
    work = 2 * 30 * (6000 + 1200)
    for row in found.values():
        assert row["usdPerMillionTokens"] == pytest.approx(row["usdPerDay"] / 48 / work * 1e6)
    assert found["all large"]["usdPerDay"] == pytest.approx(found["all large"]["gpus"] * 48)
    assert found["all small"]["usdPerDay"] == pytest.approx(found["all small"]["gpus"] * 24)
    assert told["saving"] == pytest.approx(1 - found["mixed"]["usdPerDay"] / found["all large"]["usdPerDay"])
    assert told["ownership"]["mixed"]["rent"] == pytest.approx(found["mixed"]["usdPerDay"] * 8766 / 24 * 3)


def test_a_picture_is_written_in_the_form_of_its_name(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    assert cost("--tco", "--steps", "5", "--escalation-rate", "0.1", "--plot", "cost.svg") == 0
    assert cost("--steps", "1e6", "--plot", "cost.png") == 0
    picture = (folder / "cost.svg").read_text()
    assert "steps a plan (N)" in picture
    assert "licences" in picture
    assert (folder / "cost.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--steps", "-1"), "-1 steps for a plan: give a number from 0 to 1,000,000"),
        (("--steps", "nan"), "nan steps for a plan: give a number from 0 to 1,000,000"),
        (("--relative-cost", "0"), "a relative cost of 0: give what a token of the large model costs"),
        (("--relative-cost", "1e300"), "a relative cost of 1e+300: give what"),
        (("--escalation-rate", "62"), "escalation rate 62: give a share of steps from 0 to 1; write 0.62 for 62 %"),
        (("--review-rate", "0.1"), "--review-rate needs --usd-per-review"),
        (("--review-rate", "0.1", "--usd-per-review", "2"), "--usd-per-review needs --usd-per-million-tokens"),
        (("--usd-per-million-tokens", "-1"), "--usd-per-million-tokens -1: give a number above 0"),
        (("--million-tokens-per-day", "5"), "--million-tokens-per-day needs --usd-per-million-tokens"),
        (("--large", "Qwen/Qwen3-235B-A22B"), "--large and --small belong together"),
        (("--large", "no/such", "--small", "Qwen/Qwen3-4B"), "no/such is not in the catalogue: write ORG/NAME"),
        (("--large", "a/b", "--small", "c/d", "--relative-cost", "2"), "give one or the other"),
        (("--file", "fleet.yaml"), "--file and --trace belong together"),
        (("chat", "--file", "fleet.yaml", "--trace", "trace.csv.gz"), "not both"),
        (("chat", "--steps", "3"), "--steps describes a load without a fleet"),
        (("chat", "--escalation-rate", "0.1"), "--escalation-rate is measured where a FLEET runs"),
        (("--prometheus", "http://127.0.0.1:9"), "--prometheus is asked about a FLEET"),
        (("--plot", "cost.gif"), "--plot cost.gif: pictures are .png or .svg"),
        (("--value", "worth.yaml", "--plot", "cost.png"), "--plot draws a load, a fleet, or --tco"),
        (("--tco", "nowhere.yaml"), "nowhere.yaml: no such file or directory"),
        (("--value", "owned.yaml"), "owned.yaml: baseline: field required; known at the top are baseline, now, worth"),
    ],
)
def test_wrong_usage_is_one_sentence_and_code_2(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], sentence: str
) -> None:
    assert cost(*words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert sentence in told.err
    assert len(told.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("usdPerGpu: 1\nusdPerGpuHour: 1\ngpus: {allLarge: 2, mixed: 1}", "give either usdPerGpu or usdPerGpuHour"),
        ("usdPerGpuHour: 52.8\ngpus: {allLarge: 2, mixed: 1}", "which is 2.2 if this is a day's"),
        ("usdPerGpu: .nan\ngpus: {allLarge: 2, mixed: 1}", "usdPerGpu nan: give a number, 0 or more"),
        ("usdPerGpu: -5\ngpus: {allLarge: 2, mixed: 1}", "usdPerGpu -5: give a number, 0 or more"),
        ("usdPerGpu: many", "usdPerGpu: "),
        ("usdPerGpu: 5", "say how many GPUs each fleet has (gpus.allLarge)"),
        ("mixed: {hardware: 1}", "give the costs of both, allLarge and mixed"),
        ("hardwear: 5", "hardwear: "),
        ("- 5", "the file: "),
        ("a: [", "is not YAML"),
    ],
)
def test_assumptions_that_cannot_be_are_refused_in_the_words_of_the_file(
    capsys: pytest.CaptureFixture[str], folder: Path, text: str, sentence: str
) -> None:
    (folder / "owned.yaml").write_text(text)
    assert cost("--tco", "owned.yaml") == 2
    told = capsys.readouterr().err
    assert told.startswith("heterofleet: owned.yaml: ")
    assert sentence in told


def test_a_fleet_in_a_file_without_prices_is_told_the_field(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "fleet.yaml").write_text(FLEET.replace("    price: {usdPerGpuHour: 1}\n", ""))
    assert cost("--file", "fleet.yaml", "--trace", "trace.csv.gz") == 2
    assert "set spec.small.price.usdPerGpuHour, such as 2.2" in capsys.readouterr().err


def test_without_a_cluster_the_sentence_says_what_to_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert cost("chat") == 1
    assert "heterofleet: " in capsys.readouterr().err
