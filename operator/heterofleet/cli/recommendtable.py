"""A recommendation for people: the verdict and its reasons, the fleet, the evidence, what differs from the source."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from heterofleet.api.labels import Tier
from heterofleet.cli import columns
from heterofleet.planning.situation import CLASS_OF
from heterofleet.recommend.recommendation import Recommendation
from heterofleet.recommend.verdict import Mark
from heterofleet.simulate import figurestable

_MARKS: Final = {Mark.FOR: ("for", "green"), Mark.AGAINST: ("against", "red"), Mark.NEITHER: ("-", "")}


def picture(made: Recommendation) -> RenderableType:
    """All of it, from the answer to the small print."""
    return Group(*_parts(made))


def _parts(made: Recommendation) -> Iterator[RenderableType]:
    yield Text(made.verdict.sentence, "bold green" if made.verdict.pays else "bold yellow")
    yield Text()
    yield _reasons(made)
    yield Text()
    yield _tiers(made)
    yield Text()
    yield _fleets(made)
    yield Text()
    yield Text(objective(made))
    yield Text(made.match.message)
    yield Text(made.source_size.sentence)
    yield Text()
    yield Text("risks", "bold")
    for risk in made.risks:
        yield Text(f"- {risk}")


def objective(made: Recommendation) -> str:
    """What was promised and what was missed, as a sentence."""
    asked = made.wishes.objective
    missed = " and ".join(
        f"{figurestable.percent(made.played.missed(tier))} of {CLASS_OF[tier]} requests" for tier in Tier
    )
    promised = f"a first token within {asked.ttft_seconds:g} s and the others every {asked.inter_token_seconds:g} s"
    return (
        f"Promised is {promised} to {100 * asked.attainment:.6g} % of requests; in the simulator {missed} missed it"
        f" over {made.days:.3g} days."
    )


def _reasons(made: Recommendation) -> Text:
    reasons = made.verdict.reasons
    marks = [columns.Cell(*_MARKS[each.mark]) for each in reasons]
    return columns.table([
        columns.Column("REASON", marks),
        columns.of("OF", *(each.topic for each in reasons)),
        columns.of("WHY", *(each.sentence for each in reasons)),
    ])  # fmt: skip


def _tiers(made: Recommendation) -> Text:
    rows = [_tier(made, tier) for tier in Tier]
    return _table(("TIER", "MODEL", "SHAPE", "GPUS", "CARRIES", "STARTS IN", "MIN", "MAX", "HELD", "AT MOST"), rows)


def _tier(made: Recommendation, tier: Tier) -> tuple[str, ...]:
    shape, bounds, case = made.setting.shapes[tier], made.setting.bounds[tier], made.played.case
    track = made.played.outcome.run.tracks[tier]
    counts = track.ready + track.booting
    return (
        str(tier),
        made.wishes.pair.source(tier).rpartition("/")[2],
        str(shape),
        str(shape.gpus),
        f"{case.capacities[tier].work_tokens_per_second:,.0f} work tokens/s",
        figurestable.seconds(case.engines[tier].startup_seconds),
        str(bounds.least),
        str(bounds.most),
        f"{float(counts.mean()):.1f}",
        str(int(counts.max())),
    )


def _fleets(made: Recommendation) -> Text:
    held = made.figures.all_gpu_hours
    rows = [("recommended", *_money(made, held), figurestable.percent(made.figures.violating_minutes))]
    if made.money.all_large_gpu_hours is not None:
        rows.append((f"all large ({made.all_large})", *_money(made, made.money.all_large_gpu_hours), "-"))
    rows.append(("knowing the future", *_money(made, made.oracle_gpu_hours), "0.00 %"))
    return _table(("FLEET", "GPU-HOURS", "USD", "USD A DAY", "VIOLATING MINUTES"), rows, text=1)


def _money(made: Recommendation, gpu_hours: float) -> tuple[str, str, str]:
    usd = made.usd(gpu_hours)
    return f"{gpu_hours:,.0f}", f"{usd:,.0f}", f"{usd / made.days:,.0f}"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]], text: int = 3) -> Text:
    """Columns, of which the first `text` are names and the others figures."""
    cells = list(zip(*rows, strict=True))
    return columns.table([columns.of(title, *cells[place], right=place >= text) for place, title in enumerate(titles)])
