"""Rows of a trace become minutes of both classes; what is wrong with them is a sentence that says what to write."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.api.labels import FleetKey
from heterofleet.api.routing import RequestClass
from heterofleet.simulate import tracefile, tracerows, tracesource
from heterofleet.simulate.trace import InvalidTrace, Span, Trace, Traffic, told
from heterofleet.simulate.tracerows import Reading, Table
from heterofleet.simulate.tracesource import Part, Source

DATA = Path(__file__).parents[1] / "data" / "traces"
FLEET = FleetKey("default", "chat")
NOW = datetime(2026, 3, 1, tzinfo=UTC)
PLAN, ACT = RequestClass.PLAN, RequestClass.ACT


def table(header: str, *rows: str) -> Table:
    names = header.split(",")
    cells = [row.split(",") for row in rows]
    return Table({name: [row[place] for row in cells] for place, name in enumerate(names)})


def read(header: str, *rows: str, reading: Reading | None = None) -> Trace:
    return told(tracerows.of(table(header, *rows), reading or Reading()))


def requests(trace: Trace) -> Mapping[RequestClass, list[float]]:
    return {name: traffic.requests.tolist() for name, traffic in trace.classes.items()}


COUNTED = "model,minute,requests,input_tokens,output_tokens"


def test_counted_rows_stand_at_their_minute_by_class() -> None:
    trace = read(COUNTED, "m-large,0,2,20,10", "m-large,1,3,30,15", "m-small,0,4,40,8", "m-small,1,0,0,0")
    assert requests(trace) == {PLAN: [2, 3], ACT: [4, 0]}
    assert trace.classes[PLAN].work(0.1).tolist() == [12.0, 18.0]
    assert trace.start == datetime(2026, 1, 5, tzinfo=UTC)
    assert trace.remarks == ("minute tells no date: the trace begins on Monday, 2026-01-05 at 00:00 UTC",)


def test_a_row_of_ten_minutes_is_ten_equal_minutes() -> None:
    rows = [f"{model},{600 * step},10,100,50" for model in ("m-large", "m-small") for step in range(2)]
    trace = read("model,t_sec,requests,input_tokens,output_tokens", *rows)
    assert requests(trace) == {PLAN: [1.0] * 20, ACT: [1.0] * 20}
    assert "each row covers 10 minutes, which get equal parts of it" in trace.remarks


def test_single_requests_are_counted_by_minute_and_dealt_out_by_the_seed() -> None:
    rows = [f"2026-01-05 08:{minute:02}:30.5,10,5" for minute in range(40) for _ in range(50)]
    header = "timestamp,input_tokens,output_tokens"
    trace = read(header, *rows, reading=Reading(plan_share=0.25, seed=7))
    again = read(header, *rows, reading=Reading(plan_share=0.25, seed=7))
    other = read(header, *rows, reading=Reading(plan_share=0.25, seed=8))
    assert requests(trace) == requests(again) != requests(other)
    assert (trace.classes[PLAN].requests + trace.classes[ACT].requests).tolist() == [50.0] * 38
    assert 0.2 < trace.classes[PLAN].requests.sum() / 1900 < 0.3


def test_a_minute_without_a_request_is_quiet_and_one_without_a_counted_row_is_unknown() -> None:
    quiet = read("timestamp,class,input_tokens,output_tokens", "1000,plan,1,1", "1190,act,1,1")
    assert requests(quiet) == {PLAN: [1, 0, 0, 0], ACT: [0, 0, 0, 1]}
    rows = [f"plan,{minute},1,1,1" for minute in range(20) if minute != 7]
    gapped = read("class,minute,requests,input_tokens,output_tokens", *rows)
    assert np.flatnonzero(np.isnan(gapped.classes[PLAN].requests)).tolist() == [7]
    assert "1 minutes of class plan are not known, the first at 2026-01-05 00:07 UTC" in gapped.remarks
    assert "no row is of class act" in gapped.remarks


@pytest.mark.parametrize(
    ("written", "zone", "begins"),
    [
        ("2026-01-05T08:00:00+01:00", "UTC", datetime(2026, 1, 5, 7, tzinfo=UTC)),
        ("2026-01-05T08:00:00Z", "Europe/Berlin", datetime(2026, 1, 5, 8, tzinfo=UTC)),
        ("2026-07-05 08:00:00", "Europe/Berlin", datetime(2026, 7, 5, 6, tzinfo=UTC)),
        ("1767600000", "Europe/Berlin", datetime(2026, 1, 5, 8, tzinfo=UTC)),
    ],
)
def test_times_are_read_in_their_zone(written: str, zone: str, begins: datetime) -> None:
    trace = read("timestamp,class,input_tokens,output_tokens", f"{written},plan,1,1", reading=Reading(time_zone=zone))
    assert trace.start == begins


def test_minutes_may_be_counted_from_any_number() -> None:
    trace = read(COUNTED, "plan,-1,1,1,1", "plan,0,2,1,1", "act,-1,3,1,1", "act,0,4,1,1")
    assert requests(trace) == {PLAN: [1, 2], ACT: [3, 4]}
    assert trace.start == datetime(2026, 1, 4, 23, 59, tzinfo=UTC)


def test_names_of_the_file_are_mapped_to_classes() -> None:
    reading = Reading(classes={"gpt": PLAN, "mini": ACT})
    trace = read(COUNTED, "gpt,0,1,1,1", "gpt,1,1,1,1", "mini,0,2,1,1", "mini,1,2,1,1", reading=reading)
    assert requests(trace) == {PLAN: [1, 1], ACT: [2, 2]}


WRONG = [
    ((COUNTED,), "there is no row"),
    (("model,minute,requests,input_tokens", "plan,0,1,1"), "no column output_tokens; there are model, minute"),
    (("class,input_tokens,output_tokens", "plan,1,1"), "no column timestamp (or minute, or t_sec)"),
    ((COUNTED, "plan,0,1,nan,1", "plan,1,1,1,1"), "line 2: input_tokens is nan, not a number; leave the row out"),
    ((COUNTED, "plan,0,1,1,1", "plan,1,1,,1"), "line 3: input_tokens is empty"),
    ((COUNTED, "plan,0,1,1,inf", "plan,1,1,1,1"), "line 2: output_tokens is inf"),
    ((COUNTED, "plan,0,1,1,1", "plan,1,1,many,1"), "line 3: input_tokens is many"),
    ((COUNTED, "plan,0,-1,1,1", "plan,1,1,1,1"), "line 2: requests is -1, and nobody asks for less than nothing"),
    ((COUNTED, "plan,1,1,1,1", "plan,0,1,1,1"), "line 3: its time is before that of the row above; sort the rows"),
    ((COUNTED, "plan,0,1,1,1", "plan,0,1,1,1"), "line 3: a second row of this class at the same time"),
    ((COUNTED, "plan,0,1,1,1", "plan,1,1,1,1", "plan,2.5,1,1,1"), "rows stand 60 s and 90 s apart"),
    ((COUNTED, "plan,0,1,1,1"), "one row alone does not say how much time it covers"),
    ((COUNTED, "plan,0,1,1,1", "plan,1,1,1,1", "plan,9,1,1,1"), "70% of the minutes of class plan are not known"),
    ((COUNTED, "plan,0,0,0,0", "plan,1,0,0,0"), "nobody asks for anything in it"),
    ((COUNTED, "gpt,0,1,1,1", "gpt,1,1,1,1"), "model gpt is of no known class: say which with --class gpt=plan"),
    (("minute,requests,input_tokens,output_tokens", "0,1,1,1", "1,1,1,1"), "say with --plan-share 0.2 which share"),
    (("timestamp,class,input_tokens,output_tokens", "tomorrow,plan,1,1"), "line 2: timestamp 'tomorrow' is no time"),
    (
        ("timestamp,class,input_tokens,output_tokens", "2026-01-05T08:00:00Z,plan,1,1", "2026-01-05T08:01,plan,1,1"),
        "line 3: some timestamps have a time zone and some have none",
    ),
    (("timestamp,class,input_tokens,output_tokens", "1e18,plan,1,1"), "timestamp 1e18 is after the year 9999"),
    (("timestamp,class,input_tokens,output_tokens", "1,plan,1,1", "1e9,plan,1,1"), "the rows span more than 100 days"),
]


@pytest.mark.parametrize(("lines", "sentence"), WRONG, ids=[sentence for _, sentence in WRONG])
def test_a_wrong_trace_is_refused_with_what_to_write(lines: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(InvalidTrace) as refused:
        read(*lines)
    assert sentence in str(refused.value)


FILES = [
    ("a.txt", b"", "the name must end with .csv, .csv.gz, .parquet"),
    ("a.csv", b"", "there is no row"),
    ("a.csv", b"\xff\xfe\x00", "not text in UTF-8"),
    ("a.csv", b"minute;requests\n1;2\n", "the columns are not separated by commas"),
    ("a.csv", b"minute,minute\n1,2\n", "column minute is there twice"),
    ("a.csv", b"minute,requests\n1,2\n3\n", "line 3: 1 cells under 2 column names"),
    ("a.csv.gz", b"minute\n", "not a whole gzip file"),
    ("a.parquet", b"minute\n", "not a Parquet file"),
]


@pytest.mark.parametrize(("name", "content", "sentence"), FILES, ids=[sentence for *_, sentence in FILES])
def test_a_wrong_file_is_refused_with_what_to_write(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(InvalidTrace) as refused:
        tracesource.read(Source(str(file)), FLEET, NOW)
    assert sentence in str(refused.value)


def test_parquet_is_read_as_csv_is(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    times = [datetime(2026, 1, 5, 8, minute, tzinfo=UTC) for minute in range(3)]
    columns = {
        "timestamp": times, "class": ["plan"] * 3, "requests": [1, 2, 3], "input_tokens": [4, 5, 6],
        "output_tokens": [7, 8, 9],
    }  # fmt: skip
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    trace = tracesource.read(Source(str(tmp_path / "a.parquet")), FLEET, NOW)
    assert (trace.start, requests(trace)[PLAN]) == (times[0], [1, 2, 3])


@pytest.mark.parametrize(
    ("name", "minutes", "share"),
    [("servegen_1min_reconstructed", 14_400, None), ("servegen_10min", 14_400, None), ("azure2023_conv", 58, 0.2)],
)
def test_public_traces_are_read_as_they_are(name: str, minutes: int, share: float | None) -> None:
    source = Source(str(DATA / f"{name}.csv.gz"), Reading(plan_share=share))
    trace = tracesource.read(source, FLEET, NOW)
    assert trace.minutes == minutes


@pytest.mark.parametrize(
    ("part", "span"),
    [
        (Part(), (0, 600)),
        (Part("2h", "5h"), (120, 300)),
        (Part("2h", days=0.125), (120, 300)),
        (Part("2026-01-05T03:00", "2026-01-05T04:00+01:00"), (180, 180)),
        (Part("2026-01-05T03:00", "90m"), (180, 90)),
        (Part(days=1 / 24), (0, 60)),
    ],
)
def test_a_part_is_chosen_by_time_or_counted_from_the_begin(part: Part, span: tuple[int, int], tmp_path: Path) -> None:
    rows = [f"plan,{minute},1,1,1" for minute in range(600)]
    (tmp_path / "a.csv").write_text("\n".join([COUNTED.replace("model", "class"), *rows]))
    source = Source(str(tmp_path / "a.csv"), part=part)
    if span[1] <= span[0]:
        with pytest.raises(InvalidTrace, match="no minute of the trace lies there"):
            tracesource.read(source, FLEET, NOW)
        return
    trace = tracesource.read(source, FLEET, NOW)
    assert (trace.time(0).hour * 60 + trace.time(0).minute, trace.minutes) == (span[0], span[1] - span[0])


@pytest.mark.parametrize(
    ("part", "zone", "sentence"),
    [
        (Part("soon"), "UTC", "--from soon: write a time such as 2026-01-31T08:00, or 2d, 36h, 90m"),
        (Part(end="99999999d"), "UTC", "--to 99999999d: write a time"),
        (Part(), "Mars/Olympus", "--time-zone Mars/Olympus is not known"),
        (Part(), "../etc", "--time-zone ../etc is not known"),
    ],
)
def test_a_wrong_part_is_refused_with_what_to_write(part: Part, zone: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"{COUNTED}\nplan,0,1,1,1\nplan,1,1,1,1\n")
    with pytest.raises(InvalidTrace) as refused:
        tracesource.read(Source(str(tmp_path / "a.csv"), Reading(time_zone=zone), part), FLEET, NOW)
    assert sentence in str(refused.value)


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=50))
def test_no_token_of_a_request_is_lost(asked: list[tuple[int, int, int]]) -> None:
    rows = [f"{second},plan,{prompt},{output}" for second, prompt, output in sorted(asked)]
    trace = tracerows.of(table("timestamp,class,input_tokens,output_tokens", *rows), Reading())
    traffic = trace.classes[PLAN]
    assert traffic.requests.sum() == len(asked)
    assert traffic.prompt_tokens.sum() == sum(prompt for _, prompt, _ in asked)
    assert traffic.output_tokens.sum() == sum(output for *_, output in asked)


def test_a_scaled_part_has_as_long_requests() -> None:
    series = np.arange(1.0, 11.0)
    whole = Trace(NOW, {each: Traffic(series, 3 * series, 2 * series) for each in RequestClass})
    part = whole.part(Span(2, 5)).scaled({PLAN: 2.0, ACT: 1.0})
    assert (part.minutes, part.time(0).minute, part.days) == (3, 2, 3 / 1440)
    assert part.classes[PLAN].requests.tolist() == [6.0, 8.0, 10.0]
    assert part.classes[PLAN].mean_tokens() == part.classes[ACT].mean_tokens() == (3.0, 2.0)


def test_a_cell_of_a_file_is_never_larger_than_its_reader_takes(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("minute\n" + "9" * 200_000)
    with pytest.raises(InvalidTrace, match="field larger than field limit"):
        tracefile.read(tmp_path / "a.csv")
