"""What a run was worth, as figures, rows, a log, pictures and one page that needs nothing else."""

import csv
import gzip
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from heterofleet.simulate import figurestable, minutelog, page, palette, plots, report
from heterofleet.simulate.page import Heading
from simulate import cases


def figures() -> tuple[report.Figures, ...]:
    return report.figures(cases.usual(), cases.outcomes())


def test_money_is_gpus_held_times_their_price_and_none_without_one() -> None:
    for each in figures():
        assert each.usd == pytest.approx(2.0 * each.all_gpu_hours)
    unpriced = cases.case(cases.spec(price=None), cases.trace())
    assert [each.usd for each in report.figures(unpriced, cases.outcomes())] == [None] * 6


def test_gpu_hours_stand_beside_the_oracles_where_it_was_asked() -> None:
    by_name = {each.policy: each for each in figures()}
    oracle = by_name["oracle"]
    assert oracle.over_oracle == 1.0
    peak = by_name["static-peak"]
    assert peak.over_oracle == pytest.approx(peak.all_gpu_hours / oracle.all_gpu_hours)
    (alone,) = report.figures(cases.usual(), [cases.outcome("planned")])
    assert alone.over_oracle is None


def test_the_document_has_every_figure_and_no_number_that_json_has_not() -> None:
    made = report.document(cases.usual(), figures())
    assert [each["policy"] for each in made["policies"]] == [
        "planned", "static-peak", "hpa:70", "queue:70", "last-value", "oracle",
    ]  # fmt: skip
    assert made["trace"] == {"start": "2026-01-05T00:00:00+00:00", "minutes": 240, "remarks": ["made up"]}
    assert made["tiers"]["large"]["gpus_per_instance"] == 8
    assert set(made["policies"][0]["classes"]) == {"plan", "act"}
    assert "NaN" not in str(made)


def test_columns_that_nobody_has_a_figure_for_are_left_out() -> None:
    assert {"USD", "/ORACLE"} <= set(figurestable.policies(figures()).titles)
    unpriced = cases.case(cases.spec(price=None), cases.trace())
    alone = report.figures(unpriced, [cases.outcome("planned")])
    assert not {"USD", "/ORACLE"} & set(figurestable.policies(alone).titles)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0 s"), (0.0312, "31 ms"), (1.234, "1.23 s"), (75, "75 s"), (3000, "50 min"), (90_000, "25 h")],
)
def test_times_are_told_in_the_unit_that_people_use(value: float, text: str) -> None:
    assert figurestable.seconds(value) == text
    assert figurestable.seconds(float("nan")) == "-"


def test_a_small_share_is_never_told_as_none() -> None:
    assert [figurestable.percent(share) for share in (0.0, 1e-6, 0.0123, 1.0)] == [
        "0.00 %", "< 0.01 %", "1.23 %", "100.00 %",
    ]  # fmt: skip


def rows(file: Path) -> list[dict[str, str]]:
    with gzip.open(file, "rt", encoding="utf-8") as text:
        return list(csv.DictReader(text))


def test_the_log_has_a_row_for_each_minute_policy_and_tier(tmp_path: Path) -> None:
    case, outcomes = cases.usual(), cases.outcomes()
    for name in ("a.csv.gz", "b.csv.gz"):
        minutelog.write_csv(tmp_path / name, case, outcomes)
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
    found = rows(tmp_path / "a.csv.gz")
    assert len(found) == 240 * 6 * 2
    for outcome in outcomes:
        own = [row for row in found if row["policy"] == str(outcome.choice)]
        assert sum(float(row["gpus"]) for row in own) / 60 == pytest.approx(outcome.run.gpu_hours)
    assert {row["decided_by"] for row in found if row["policy"] == "oracle"} == {""}
    assert all(row["forecast_upper"] for row in found if row["policy"] == "planned")


def test_the_log_is_the_same_in_parquet(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    case, outcomes = cases.usual(), cases.outcomes()
    minutelog.write_csv(tmp_path / "a.csv.gz", case, outcomes)
    minutelog.write_parquet(tmp_path / "a.parquet", case, outcomes)
    table = parquet.ParquetFile(tmp_path / "a.parquet").read().to_pylist()
    assert [row["gpus"] for row in table] == [int(row["gpus"]) for row in rows(tmp_path / "a.csv.gz")]


def drawn() -> dict[str, str]:
    pytest.importorskip("matplotlib")
    with plots.style():
        made = plots.all_of(cases.usual(), cases.outcomes(), figures())
        return {name: plots.svg(figure) for name, figure in made.items()}


def test_pictures_are_the_same_each_time_and_keep_their_words() -> None:
    first, again = drawn(), drawn()
    assert list(first) == ["policies", "load", "gpus", "decisions"]
    assert first == again
    assert "carried by ready instances" in first["load"]
    with plots.style():
        (load,) = [f for name, f in plots.all_of(cases.usual(), cases.outcomes(), figures()).items() if name == "load"]
        assert plots.png(load).startswith(b"\x89PNG")


class _Page(HTMLParser):
    """What a page would load or run, and its words and names."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.names: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        self.names += [known["id"]] if "id" in known else []
        addresses = (known.get(name, "") for name in ("src", "href", "xlink:href", "data", "srcset"))
        self.loads += [address for address in addresses if address and not address.startswith("#")]
        self.loads += [tag] if tag in ("script", "link", "iframe", "img", "object") else []

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def written(trace: str = "trace.csv") -> str:
    heading = Heading("chat", trace, "heterofleet simulate fleet.yaml trace.csv")
    return page.html(heading, cases.usual(), cases.outcomes(), figures(), drawn())


def test_the_page_needs_nothing_else() -> None:
    found = _Page()
    text = written()
    found.feed(text)
    assert found.loads == []
    assert len(found.names) == len(set(found.names))
    references = set(re.findall(r'url\(#([^)]+)\)|xlink:href="#([^"]+)"', text))
    assert {one or other for one, other in references} <= set(found.names)
    styles = re.findall(r"@import|url\((?!#)", text)
    assert styles == []


def test_the_page_is_readable_by_day_and_by_night() -> None:
    text = written()
    body = text[text.index("</style>") :].lower()
    light = palette.variables(palette.LIGHT)
    assert light in text
    assert palette.variables(palette.DARK) in text
    # A colour that stands in a picture by its value would not change with the page.
    assert [colour for colour in re.findall(r"#[0-9a-f]{6}\b", light) if colour in body] == []
    assert re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", body) == []


def test_the_page_tells_policies_decisions_and_the_command_and_escapes_names() -> None:
    text = written("<script>alert(1)</script>.csv")
    found = _Page()
    found.feed(text)
    words = " ".join(found.words)
    assert "script" not in found.loads
    for word in ("planned", "hpa:70", "oracle", "Show ", "heterofleet simulate fleet.yaml trace.csv", "made up"):
        assert word in words


def test_the_summary_says_what_was_held_and_how_it_compares() -> None:
    made = {each.policy: each for each in figures()}
    said = page.summary(list(made.values()))
    assert said.startswith(f"Policy planned held {made['planned'].all_gpu_hours:,.0f} GPU-hours")
    assert "hpa:70 held" in said
    assert page.summary([made["oracle"]]).startswith("Policy oracle held")


def test_the_busiest_hours_are_shown_of_a_long_trace() -> None:
    case = cases.case(cases.spec(), cases.trace(cases.wave(2000)))
    span = plots.busiest(case)
    work = [case.load.arriving[tier] / pool.capacity * pool.gpus for tier, pool in case.pools.items()]
    needed = np.sum(work, axis=0)
    assert span.last - span.first == 720
    assert span.first <= int(needed.argmax()) < span.last
