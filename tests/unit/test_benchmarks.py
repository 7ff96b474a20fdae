"""What benchmarks decide by themselves: which figures are met, which rows count, and what is sent and expected."""

import itertools
import json
import random
import re
from datetime import UTC, datetime
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies

from benchmarks import cli as cli_bench
from benchmarks.figures import Figure, Report, percentile
from benchmarks.routerbench import (
    bodies,
    conversations,
    curve,
    engines,
    events,
    field,
    openloop,
    ours,
    procfs,
    rows,
    sampled,
    soakreport,
    throughput,
    verdicts,
    wrk,
)
from benchmarks.routerbench.curve import Point
from benchmarks.routerbench.latency import Added
from benchmarks.routerbench.ours import Counted
from benchmarks.routerbench.resting import Rest
from benchmarks.routerbench.rows import Row
from benchmarks.routerbench.streams import Streamed
from benchmarks.routerbench.verdicts import Rows
from benchmarks.routerbench.wrk import Taken
from heterofleet.api.conditions import FleetStatus
from heterofleet.api.planned import MOST_DECISIONS
from heterofleet.api.policy import Profile, RouterPolicy
from heterofleet.router import classify, openai


def taken(per_second: float, *, busy: float = 1.0, errors: int = 0) -> Taken:
    return Taken(round(per_second * 4), errors, round(per_second * 3), 3.0, 3.0 * busy, busy)


def row(name: str, *per_second: float) -> Row:
    return Row(name, tuple(map(taken, per_second)))


@pytest.mark.parametrize(
    ("figure", "met"),
    [
        (Figure("f", 1.0, "s", 1.0), True),
        (Figure("f", 1.1, "s", 1.0), False),
        (Figure("f", 0.9, "x", 1.0, "higher"), False),
        (Figure("f", 1.0, "x", 1.0, "higher"), True),
        (Figure("f", 9.0, "us", None), True),
        (Figure("f", 2.0, "x", 1.0, "higher", invalid="its core was idle"), False),
    ],
)
def test_a_figure_is_met_on_its_side_of_the_target_and_never_when_it_does_not_count(figure: Figure, met: bool) -> None:
    assert figure.met is met


@hypothesis.given(strategies.lists(strategies.floats(0, 1e6), min_size=1), strategies.floats(0.01, 1.0))
def test_no_smaller_sample_than_the_percentile_covers_its_share(samples: list[float], share: float) -> None:
    found = percentile(samples, share)
    below = sum(sample < found for sample in samples)
    assert found in samples
    assert below < len(samples) * share + 1e-3 * len(samples)


def test_a_row_counts_when_its_core_is_busy_its_answers_right_and_direct_far_faster() -> None:
    assert rows.invalid(row("ours", 100, 110), row("direct", 200, 220)) == []


@pytest.mark.parametrize(
    ("found", "direct", "reasons"),
    [
        (Row("ours", (taken(100), taken(100, busy=0.9))), 200, ["its core was busy for 90.0% only"]),
        (Row("ours", (taken(100), taken(100, errors=2))), 200, ["2 errors"]),
        (Row("ours", (taken(100),), ("an answer was wrong",)), 200, ["an answer was wrong"]),
        (Row("ours", (taken(100),)), 110, ["direct gives only 1.10 times as much"]),
    ],
)
def test_one_fault_in_any_run_makes_a_row_invalid(found: Row, direct: float, reasons: list[str]) -> None:
    assert rows.invalid(found, row("direct", direct)) == reasons


def test_ratios_are_taken_round_by_round() -> None:
    assert rows.ratios(row("ours", 100, 50, 120), row("peer", 100, 100, 60)) == [1.0, 0.5, 2.0]


def test_a_peer_that_the_load_held_back_is_still_compared_by_what_a_request_costs() -> None:
    held_back = Row("peer", (taken(300, busy=0.6), taken(300, busy=0.75)))
    assert rows.cost_ratios(row("ours", 100, 100), held_back) == pytest.approx([0.2, 0.25])


def test_cpu_time_a_request_is_that_of_the_window() -> None:
    run = Taken(sent=5000, errors=0, requests=3000, seconds=3.0, cpu_seconds=1.5, busy=0.5)
    assert (run.per_second, run.cpu_us) == (1000.0, 500.0)


def test_marks_and_errors_of_the_load_are_read_as_the_script_writes_them() -> None:
    script = (Path(wrk.__file__).parent / "load.lua").read_text()
    assert re.findall(r'say\("(\w+)"', script) == ["begin", "end"]
    assert 'string.format("errors %d %d\\n"' in script
    assert wrk.mark_of("begin 1200 42.500000\n") == wrk.Mark(1200, 42.5)
    assert wrk.errors_of("Running 1s test\nerrors 3 4\n") == 7


def test_a_load_tells_the_script_everything_it_reads() -> None:
    script = (Path(wrk.__file__).parent / "load.lua").read_text()
    assert set(re.findall(r'os\.getenv\("(\w+)"\)', script)) == set(wrk.Load(Path("b"), 1.0).environment())


EXPOSITION = """# HELP heterofleet_router_offered_total Requests that came.
# TYPE heterofleet_router_offered_total counter
heterofleet_router_offered_total{namespace="default",fleet="bench",class="act"} 3.0
heterofleet_router_offered_total{namespace="default",fleet="bench",class="plan"} 4.0
# HELP heterofleet_router_requests_total Requests that ended.
# TYPE heterofleet_router_requests_total counter
heterofleet_router_requests_total{class="act",tier="small",outcome="ok"} 2.0
heterofleet_router_requests_total{class="plan",tier="large",outcome="ok"} 4.0
heterofleet_router_requests_total{class="act",tier="small",outcome="failed"} 1.0
"""


def test_a_routers_own_counts_are_summed_over_class_and_tier() -> None:
    found = ours.counted(EXPOSITION)
    assert found == Counted(offered=7, good=6, others={"failed": 1})
    assert found.ended == 7


def test_counts_that_are_not_what_was_sent_are_faults() -> None:
    before = Counted(10, 9, {"failed": 1})
    assert throughput.count_faults(before, Counted(15, 14, {"failed": 1}), 5) == []
    assert throughput.count_faults(before, Counted(16, 14, {"failed": 2}), 5) == [
        "5 requests were sent and 6 counted as offered",
        "of 5 requests 5 ended well, others {'failed': 1}",
    ]
    assert throughput.count_faults(None, None, 5) == []


def test_the_default_row_does_not_count_when_its_access_log_lacks_a_line() -> None:
    by_name = {name: row(name, 100) for name in ("heterofleet", "heterofleet lean")} | {"direct": row("direct", 300)}
    found = Rows(by_name, ["9 requests ended and 8 are in the access log"])
    assert found.invalid("heterofleet") == "9 requests ended and 8 are in the access log"
    assert found.invalid("heterofleet lean") is None


def test_the_benchmark_configures_what_is_shipped_and_lean_differs_in_its_profile_alone() -> None:
    default = ours.configuration([1], [2], Profile.DEFAULT)
    assert "policy" not in default
    assert ours.configuration([1], [2], Profile.LEAN) == default | {"policy": {"profile": "Lean"}}
    assert ours.policy_digest(Profile.DEFAULT) != ours.policy_digest(Profile.LEAN)
    assert ours.what_lean_leaves_out() == RouterPolicy.model_fields["profile"].description


def test_bodies_have_the_size_asked_for_and_both_classes_occur() -> None:
    made = bodies.single_questions("auto", 64, 1024)
    sizes = {len(body.encode()) for body in made}
    assert max(sizes) <= 1024
    assert min(sizes) > 1010
    classifier = classify.Classifier(classify.shipped(), RouterPolicy().classification.threshold, heed_hints=True)
    requests = [openai.parse(openai.Operation.CHAT, body.encode()) for body in made]
    assert {classifier.decide(request, header=None, pinned=None).request_class for request in requests} == {
        "plan",
        "act",
    }


def test_bodies_of_a_conversation_differ_in_their_last_question_alone() -> None:
    made = [json.loads(body)["messages"] for body in bodies.conversations("plan", 3, 4, 8192)]
    beginnings = {json.dumps(messages[:-1]) for messages in made}
    assert (len(made), len(beginnings)) == (12, 3)
    assert len({messages[-1]["content"] for messages in made}) == 12


def test_an_answer_is_right_only_when_it_says_all_that_the_engine_said() -> None:
    fields = json.loads(bodies.ANSWER)
    assert sampled.is_right(bodies.ANSWER.encode())
    assert sampled.is_right(json.dumps(fields | {"service_tier": None}).encode())
    assert not sampled.is_right(json.dumps(fields | {"usage": {}}).encode())
    assert not sampled.is_right(b'{"error": {"message": "no"}}')
    assert 900 < len(bodies.ANSWER) < 1124


def test_an_engines_answer_needs_no_quoting_in_its_configuration(tmp_path: Path) -> None:
    assert not set("'$\\") & set(bodies.ANSWER)
    text = engines.configuration([7001, 7002], tmp_path)
    assert re.findall(r"listen 127\.0\.0\.1:(\d+)", text) == ["7001", "7002"]
    assert text.count("{") == text.count("}")


@hypothesis.given(strategies.lists(strategies.binary(min_size=1, max_size=50), max_size=8))
def test_chunks_are_read_back_as_they_were_cut(parts: list[bytes]) -> None:
    written = b"".join(map(events.chunked, parts)) + events.LAST_CHUNK
    assert events.unchunked(written) == b"".join(parts)
    assert events.unchunked(written[:-5]) is None


@hypothesis.given(strategies.floats(50, 2000), strategies.integers(0, 9))
def test_departures_rise_within_the_time_and_have_the_rate_asked_for(rate: float, seed: int) -> None:
    found = list(openloop.departures(rate, 5.0, seed))
    assert found == sorted(found)
    assert found[-1] < 5.0
    assert abs(len(found) - 5 * rate) < 6 * (5 * rate) ** 0.5


def test_an_answer_is_whole_when_its_length_has_come() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    assert [openloop.missing(part) for part in (b"HTTP", head, head + b"abc", head + b"abcde")] == [1, 5, 2, 0]
    with pytest.raises(ValueError, match="without Content-Length"):
        openloop.missing(b"HTTP/1.1 200 OK\r\n\r\n")


def test_cpu_time_and_memory_are_read_from_what_the_kernel_writes() -> None:
    fields = ["S", "1"] + ["0"] * 9 + ["150", "50"] + ["0"] * 30
    assert procfs.seconds_of_stat(f"42 (a (b) c) {' '.join(fields)}\n") == 200 / procfs._TICKS
    assert procfs.mb_of_status("Name:\tx\nVmHWM:\t  90000 kB\nVmRSS:\t   51200 kB\n") == 50.0


def test_conversations_are_the_same_for_the_same_seed_and_keep_their_key_as_they_grow() -> None:
    one, again = (conversations.script(1, 30.0, conversations=6, turns=3) for _ in range(2))
    assert one == again
    assert [len({turn.affinity for turn in turns}) for turns in one] == [1] * 6
    assert len({turns[0].affinity for turns in one}) == 6
    for turns in one:
        for earlier, later in itertools.pairwise(turns):
            assert later.blocks[: len(earlier.blocks)] == earlier.blocks


def test_a_conversation_that_is_alone_takes_as_long_whoever_answers_it_but_for_its_cache() -> None:
    script = conversations.script(1, 1.0, conversations=1, turns=4)
    ttft = {policy: conversations.mean_ttft(script, policy, 64.0, 1) for policy in conversations.POLICIES}
    assert ttft["prefix"] < ttft["round robin"]


def test_the_gain_is_taken_where_the_caches_just_hold_everything_and_at_the_worse_load() -> None:
    points = [
        Point(30.0, 0.5, {"round robin": (9.0,), "least load": (2.0,), "prefix": (1.0,)}),
        Point(30.0, 1.0, {"round robin": (4.0,), "least load": (2.0,), "prefix": (1.0,)}),
        Point(20.0, 1.0, {"round robin": (3.0,), "least load": (1.0,), "prefix": (1.1,)}),
    ]
    assert curve.gain_where_cache_decides(points) == [3.0 / 1.1]
    assert curve.worst_over_least_load(points) == [1.1]


def test_a_soak_that_was_not_run_has_no_figure(tmp_path: Path) -> None:
    assert soakreport.unnamed_failures(tmp_path / "router.json") is None
    (tmp_path / "router.json").write_text('{"seed": 7, "unnamed_failures": 2}')
    assert soakreport.unnamed_failures(tmp_path / "router.json") == 2


NAMES = {
    "rps_1kb_over_vllm_router_power_of_two", "rps_1kb_lean_over_vllm_router_power_of_two", "rps_1kb_lean_over_nginx",
    "cpu_us_per_request", "rps_8kb_affinity_over_vllm_router_cache_aware", "added_p50_ms", "added_p99_ms",
    "stream_cpu_us_per_chunk", "stream_memory_mb_1000", "memory_at_rest_mb", "start_seconds",
    "ttft_round_robin_over_prefix", "ttft_prefix_over_least_load_worst", "soak_unnamed_failures",
}  # fmt: skip
"""Names that others read."""

MORE = {"rps_1kb_act_over_vllm_router_power_of_two", "cpu_1kb_nginx_over_lean"}


def test_every_figure_that_others_read_has_its_name_and_is_met_by_what_meets_it() -> None:
    report = Report("router", [])
    peers = {field.POWER_OF_TWO: 100, field.NGINX: 250, field.CACHE_AWARE: 50, field.DIRECT: 900}
    own = {field.DEFAULT: 110, field.DEFAULT_ACT: 120, field.LEAN: 130}
    found = Rows({name: row(name, per_second) for name, per_second in (peers | own).items()})
    verdicts.add_rows(report, found, found)
    verdicts.add_latency(report, [Added((0.4, 1.0), (0.1, 0.3), 0)], 55.0)
    streamed = Streamed(chunks=1000, pieces=1000, cpu_seconds=0.01, busy=0.2, memory_mb=120.0, errors=0)
    verdicts.add_streams(report, {field.DEFAULT: [streamed]})
    verdicts.add_rest(report, [Rest(1.0, 70.0)])
    verdicts.add_curve(report, [Point(30.0, 1.0, {"round robin": (2.2,), "least load": (2.0,), "prefix": (1.0,)})])
    verdicts.add_soak(report, 0)
    assert {figure.name for figure in report.figures} == NAMES | MORE
    assert [figure.name for figure in report.figures if not figure.met] == []


def test_a_peer_that_cannot_be_had_leaves_its_figure_out_and_says_so() -> None:
    report = Report("router", [])
    own = {field.DEFAULT: 110, field.DEFAULT_ACT: 120, field.LEAN: 130, field.NGINX: 250, field.DIRECT: 900}
    found = Rows({name: row(name, per_second) for name, per_second in own.items()})
    verdicts.add_rows(report, found, found)
    assert "rps_8kb_affinity_over_vllm_router_cache_aware" not in {figure.name for figure in report.figures}
    assert (
        "rps_8kb_affinity_over_vllm_router_cache_aware is missing: vllm-router cache_aware could not be had here"
        in report.notes
    )


def test_fleets_before_which_the_command_line_is_timed_have_statuses_that_say_everything() -> None:
    statuses = [cli_bench.status(index, random.Random(index), datetime(2026, 5, 4, tzinfo=UTC)) for index in range(100)]
    read = [FleetStatus.model_validate(status) for status in statuses]
    assert {len(status.decisions) for status in read} == {MOST_DECISIONS}
    assert {len(status.conditions) for status in read} == {10}
    unready = sum(not status.conditions[0].status for status in read)
    assert 0 < unready < 20
    assert all(status.plan is not None and status.large.instances and status.endpoint for status in read)
