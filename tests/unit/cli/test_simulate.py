"""`heterofleet simulate`: policies side by side under a trace; what is wrong is one sentence and code 2."""

import json
from pathlib import Path

import pytest

from heterofleet.cli import main, simulateprogress

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
    price: {usdPerGpuHour: 2}
"""
FAST = ["--profile", "large=tiny-large", "--profile", "small=tiny-small", "--mean-instances", "3"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fleet.yaml").write_text(FLEET)
    rows = [f"{name},{minute},{100 + minute},{100 * minute + 9},{40 * minute + 9}" for name in ("m-large", "m-small")
            for minute in range(60)]  # fmt: skip
    (tmp_path / "trace.csv").write_text("\n".join(["model,minute,requests,input_tokens,output_tokens", *rows]))
    return tmp_path


def simulate(*words: str) -> int:
    return main.main(["simulate", "fleet.yaml", "trace.csv", *FAST, *words])


def test_every_policy_is_a_row_of_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate() == 0
    told = capsys.readouterr()
    names = [line.split()[0] for line in told.out.splitlines() if line]
    policies = ["planned", "static-peak", "hpa:70", "queue:70", "last-value", "oracle"]
    assert names == ["TIER", "large", "small", "POLICY", *policies, "POLICY", *policies]
    assert "note: minute tells no date" in told.err


def test_the_same_seed_gives_the_same_answer_and_another_seed_another(capsys: pytest.CaptureFixture[str]) -> None:
    answers = []
    for seed in ("1", "1", "2"):
        assert simulate("--policies", "planned", "-o", "json", "--seed", seed) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert answers[0] == answers[1] != answers[2]


def test_a_set_value_changes_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    hours = []
    for words in ([], ["--set", "large.instances.min=9", "--set", "scaling.spillOver=false"]):
        assert simulate("--policies", "planned", "-o", "json", *words) == 0
        (policy,) = json.loads(capsys.readouterr().out)["policies"]
        hours.append(policy["gpu_hours_by_tier"]["large"])
    assert hours[1] > hours[0]


def test_a_list_of_the_fleet_can_be_set_item_by_item(capsys: pytest.CaptureFixture[str]) -> None:
    schedule = "scaling.schedules[0]"
    words = [
        f"{schedule}.name=night",
        f'{schedule}.start="00:00"',
        f'{schedule}.end="06:00"',
        f"{schedule}.large.min=9",
    ]
    set_ = [word for each in words for word in ("--set", each)]
    assert simulate("--policies", "planned", "-o", "json", *set_) == 0
    (policy,) = json.loads(capsys.readouterr().out)["policies"]
    assert policy["gpu_hours_by_tier"]["large"] > 8


def test_results_are_written_where_they_are_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    words = ["--policies", "planned,oracle", "--out", "results/first", "--plots", "svg", "--html", "page.html"]
    assert simulate(*words, "--set", "scaling.forecast.quantile=0.9") == 0
    written = {path.name for path in (folder / "results" / "first").iterdir()}
    assert written == {
        "report.json", "minutes.csv.gz", "policies.svg", "load.svg", "gpus.svg", "decisions.svg",
    }  # fmt: skip
    page = (folder / "page.html").read_text("utf-8")
    assert "Fleet chat under trace.csv" in page
    assert "--set scaling.forecast.quantile=0.9" in page
    assert str(folder) not in page
    capsys.readouterr()
    assert simulate("--policies", "oracle", "--html", "no/such/page.html") == 1
    assert "no/such/page.html: no such file or directory" in capsys.readouterr().err


def test_a_count_that_cannot_move_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate("--policies", "planned", "--set", "small.instances.max=1") == 0
    assert "small.instances lets its count be nothing but 1: try --set small.instances.max=2" in capsys.readouterr().err


WRONG = [
    (["--policies", "hpb"], "--policies: no policy 'hpb'; choose from planned"),
    (["--seed", "-1"], "--seed must be 0 or more"),
    (["--class", "m-large=pln"], "--class m-large=pln: write a name of the trace and plan or act"),
    (["--class", "=plan"], "write a name of the trace and plan or act, such as big=plan"),
    (["--profile", "middle=tiny"], "--profile middle=tiny: write large=… or small=…"),
    (["--profile", "large=huge"], "large: no profile 'huge'; choose from tiny"),
    (["--start-up", "large=soon"], "--start-up soon: write seconds, such as large=300"),
    (["--start-up", "large=-1"], "an instance starts within 0 to 86400 seconds"),
    (["--from", "9d"], "no minute of the trace lies there: it goes from 2026-01-05 00:00 to 2026-01-05 01:00 UTC"),
    (["--plan-share", "0.2"], "column model says who plans: leave --plan-share out"),
    (["--set", "scaling.gpuBudget"], "--set scaling.gpuBudget: write PATH=VALUE, such as scaling.forecast.quantile"),
    (["--set", "scaling.gpuBudget=many"], "--set scaling.gpuBudget=many: "),
    (["--set", "scaling.gpuBudgte=8"], "--set scaling.gpuBudgte=8: unknown field; did you mean gpuBudget?"),
    (["--set", "large.instances.min=30"], "instances.min must not be above instances.max: lower min or raise max"),
    (["--set", "small.parallelism.tensor=3"], "with --set small.parallelism.tensor=3: spec.small"),
    (["--set", "scaling.schedules[2].name=x"], "the list has 0 items: write [0] to add one"),
    (
        ["--set", "scaling.schedules[0].name=x", "--set", "scaling.schedules.name=x"],
        "name stands behind a list: write an index such as [0] before it",
    ),
    (["--set", "large.model[0]=x"], "[0] stands behind what is no list"),
    (["--set", "large.model.source.name=x"], "name stands behind a value that holds no fields"),
    (["--set", "scaling.gpuBudget={"], "the value is no YAML; put it into quotes"),
]


@pytest.mark.parametrize(("words", "sentence"), WRONG, ids=[" ".join(words) for words, _ in WRONG])
def test_a_wrong_option_is_one_sentence_and_code_2(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate(*words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert sentence in told.err
    assert len(told.err.strip().splitlines()) == 1


TRACES = [
    ("", "there is no row"),
    ("minute,requests\n1,2\n", "no column input_tokens, output_tokens; there are minute, requests"),
    ("class,minute,requests,input_tokens,output_tokens\nplan,0,1,nan,1\nplan,1,1,1,1\n", "line 2: input_tokens is nan"),
    ("class,minute,requests,input_tokens,output_tokens\nplan,0,1,-1,1\nplan,1,1,1,1\n", "line 2: input_tokens is -1"),
    ("class,minute,requests,input_tokens,output_tokens\nplan,5,1,1,1\nplan,1,1,1,1\n", "line 3: its time is before"),
]


@pytest.mark.parametrize(("content", "sentence"), TRACES, ids=[sentence for _, sentence in TRACES])
def test_a_wrong_trace_is_one_sentence_and_code_2(
    content: str, sentence: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "trace.csv").write_text(content)
    assert simulate() == 2
    told = capsys.readouterr().err
    assert told.startswith("heterofleet: trace.csv: ")
    assert sentence in told
    assert len(told.strip().splitlines()) == 1


def test_a_trace_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["simulate", "fleet.yaml", "no.csv", *FAST]) == 2
    assert capsys.readouterr().err == "heterofleet: no.csv: no such file or directory\n"


def test_a_wrong_fleet_is_shown_as_validate_shows_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "fleet.yaml").write_text(FLEET.replace("instances:", "instancse:"))
    assert simulate() == 1
    told = capsys.readouterr().err
    assert "did you mean instances?" in told
    assert "fleet.yaml: no fleet to simulate" in told


def test_a_silent_prometheus_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["simulate", "fleet.yaml", "http://127.0.0.1:9", *FAST]) == 1
    told = capsys.readouterr().err
    assert "http://127.0.0.1:9" in told
    assert len(told.strip().splitlines()) == 1


class Terminal:
    """A stderr that somebody watches."""

    def __init__(self) -> None:
        self.text = ""
        self.encoding = "utf-8"

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return True


class Pipe(Terminal):
    def isatty(self) -> bool:
        return False


@pytest.mark.parametrize(("stream", "shown"), [(Terminal(), True), (Pipe(), False)])
def test_bars_are_shown_to_a_person_alone(stream: Terminal, shown: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with simulateprogress.shown(stream) as progress:  # type: ignore[arg-type]  # as much of a file as bars need
        progress.stage("engines")(0.5)
    assert ("engines" in stream.text) is shown
