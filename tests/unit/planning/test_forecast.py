"""The forecast: what is said of any series, and what is never said."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heterofleet.planning.forecast import CAP, MARGIN_BOUNDS, Forecaster, Nothing, Silence
from heterofleet.planning.series import DAY, Taken
from heterofleet.planning.situation import Forecast

WINDOW = 300.0
BEGIN = 1_767_600_000.0


def times(values: Sequence[float], begin: float = BEGIN) -> list[tuple[float, float]]:
    return [(begin + 60.0 * minute, float(value)) for minute, value in enumerate(values)]


def walk(minutes: int, seed: int = 0, level: float = 1000.0) -> list[float]:
    """A load that wanders by some per cent a minute, and comes back."""
    steps = np.random.default_rng(seed).normal(0.0, 0.03, minutes).tolist()
    logs = accumulate(steps, lambda log, step: 0.99 * log + step)
    return [level * math.exp(log) for log in logs]


def waves(days: int, level: float = 1000.0) -> list[float]:
    """The same day again and again, with a steep morning."""
    minute = np.arange(days * DAY) % DAY
    return [float(value) for value in level * (1.0 + 0.9 / (1.0 + np.exp(-(minute - 540) / 6.0)) * (minute < 1200))]


def said(forecaster: Forecaster, quantile: float = 0.975, window: float = WINDOW) -> Forecast:
    made = forecaster.forecast(window, quantile)
    assert isinstance(made, Forecast)
    return made


def test_nothing_is_forecast_of_a_series_without_samples() -> None:
    assert Forecaster().forecast(WINDOW, 0.975) == Nothing(Silence.EMPTY, "no sample of this load was seen yet")


def test_old_samples_are_no_forecast_and_new_ones_bring_it_back() -> None:
    forecaster = Forecaster.of(times([100.0] * 10))
    newest = BEGIN + 9 * 60.0
    assert isinstance(forecaster.forecast(WINDOW, 0.975, now=newest + 60 + 299), Forecast)
    late = forecaster.forecast(WINDOW, 0.975, now=newest + 60 + 301)
    assert late == Nothing(Silence.STALE, "the newest sample of this load is 301 s old")
    forecaster.observe(newest + 600, 100.0, now=newest + 600)
    assert isinstance(forecaster.forecast(WINDOW, 0.975, now=newest + 600), Forecast)


def test_less_than_a_day_is_answered_by_the_mean_with_the_margin_of_a_new_fleet() -> None:
    made = said(Forecaster.of(times([100.0])))
    assert (made.candidate, made.points, made.window_seconds) == ("Ewma", 1, 300.0)
    assert [made.expected, made.upper, made.margin] == pytest.approx([110.5, 148.2, 1.482], rel=0.01)
    assert said(Forecaster.of(times(walk(DAY - 1)))).candidate == "Ewma"
    assert said(Forecaster.of(times(walk(2 * DAY)))).candidate != "Ewma"


def test_a_constant_load_is_forecast_as_itself_with_next_to_no_margin() -> None:
    made = said(Forecaster.of(times([250.0] * 4 * DAY)))
    assert made.expected == pytest.approx(250.0, rel=0.01)
    assert 250.0 <= made.upper <= 250.0 * 1.02


def test_no_load_is_forecast_as_none_where_zero_was_seen() -> None:
    made = said(Forecaster.of(times([0.0] * 2 * DAY)))
    assert (made.expected, made.upper) == (0.0, 0.0)


def test_idle_nights_teach_nothing_about_the_margin_of_the_day() -> None:
    day = walk(DAY // 2, seed=3)
    awake = said(Forecaster.of(times(day + day)))
    idle = said(Forecaster.of(times(day + [0.0] * (DAY // 2) + day)))
    assert idle.margin > 1.03
    assert idle.margin > 0.9 * awake.margin


def test_as_many_windows_are_covered_as_the_quantile_says() -> None:
    values, horizon, quantiles = walk(4 * DAY, seed=5), 5, (0.8, 0.9, 0.975)
    forecaster = Forecaster.of(times(values[: 2 * DAY]), 60.0 * horizon)
    covered = []
    for minute in range(2 * DAY, 4 * DAY - horizon):
        forecaster.observe(BEGIN + 60.0 * minute, values[minute])
        highest = max(values[minute + 1 : minute + 1 + horizon])
        covered.append([said(forecaster, quantile, 60.0 * horizon).upper >= highest for quantile in quantiles])
    assert np.mean(covered, axis=0) == pytest.approx(quantiles, abs=0.03)


def test_a_longer_start_up_asks_for_more() -> None:
    history = times(walk(3 * DAY, seed=1))
    uppers = [said(Forecaster.of(history, window), window=window).upper for window in (60.0, 300.0, 1800.0)]
    assert uppers == sorted(uppers)


def test_a_window_that_was_learned_anew_is_answered_from_what_is_kept() -> None:
    history = times(walk(3 * DAY, seed=1))
    forecaster = Forecaster.of(history, 60.0)
    short = said(forecaster, window=60.0)
    longer = said(forecaster, window=600.0)
    assert longer.window_seconds == 600.0
    assert longer.upper > short.upper
    assert longer.upper == pytest.approx(said(Forecaster.of(history, 600.0), window=600.0).upper, rel=0.2)


def test_minute_by_minute_and_all_at_once_are_the_same() -> None:
    history = times(walk(2 * DAY + 500, seed=2))
    gapped = history[:700] + history[740:2000] + history[2001:3000] + history[3010:]
    one = Forecaster(WINDOW)
    for time, value in gapped:
        one.observe(time, value)
    made, again = said(one), said(Forecaster.of(gapped, WINDOW))
    exact = replace(made, expected=0.0, upper=0.0, margin=0.0)
    assert replace(again, expected=0.0, upper=0.0, margin=0.0) == exact
    assert [again.expected, again.upper] == pytest.approx([made.expected, made.upper], rel=1e-4)


def test_what_is_seasonal_is_seen_coming() -> None:
    """At the foot of the same steep morning on the fourth day the forecast has risen, and the load has not."""
    history = times(waves(4)[: 3 * DAY + 530])
    value = history[-1][1]
    made = said(Forecaster.of(history, 1200.0), window=1200.0)
    assert value < 1200.0
    assert made.upper > 1.3 * value


def test_nothing_is_forecast_above_half_as_much_again_as_the_highest_of_the_days() -> None:
    calm = [100.0, 320.0] * DAY
    forecaster = Forecaster.of(times([*calm, 320.0]))
    made = said(forecaster, 0.999)
    assert made.upper <= CAP * 320.0
    assert MARGIN_BOUNDS[0] <= made.margin <= MARGIN_BOUNDS[1]


def test_a_gap_is_held_through_and_teaches_nothing() -> None:
    whole = times(walk(3 * DAY, seed=4))
    before = said(Forecaster.of(whole[: 2 * DAY]))
    after = said(Forecaster.of([*whole[: 2 * DAY], (whole[2 * DAY + 60][0], 0.0)]))
    assert after.upper == pytest.approx(before.upper, rel=0.1), "a part of a rate after a gap lowers nothing"
    assert after.points == before.points


def test_a_gap_of_two_minutes_is_jitter_and_not_a_gap() -> None:
    history = times(walk(500))
    assert said(Forecaster.of(history[:300] + history[302:])).points == 500


@pytest.mark.parametrize(
    ("value", "taken"),
    [(math.nan, Taken.NOT_A_NUMBER), (math.inf, Taken.NOT_A_NUMBER), (-1.0, Taken.NEGATIVE)],
)
def test_what_is_not_a_load_is_refused_and_changes_nothing(value: float, taken: Taken) -> None:
    forecaster = Forecaster.of(times(walk(100)))
    before = said(forecaster)
    assert forecaster.observe(BEGIN + 6000.0, value) is taken
    assert said(forecaster) == before


def test_samples_from_the_future_are_refused() -> None:
    forecaster = Forecaster.of(times([5.0] * 10))
    assert forecaster.observe(BEGIN + 86_400.0, 900.0, now=BEGIN + 600.0) is Taken.FUTURE
    assert said(forecaster).points == 10


def test_a_clock_that_fell_back_begins_anew() -> None:
    forecaster = Forecaster.of(times([5.0] * 100))
    assert forecaster.observe(BEGIN - 3600.0, 7.0, now=BEGIN - 3600.0) is Taken.RESTARTED
    assert said(forecaster).points == 1
    assert forecaster.newest_seconds == 60.0 * math.floor((BEGIN - 3600.0) / 60.0)


def test_a_repeated_or_late_sample_is_refused() -> None:
    forecaster = Forecaster.of(times([5.0] * 10))
    assert forecaster.observe(BEGIN + 9 * 60.0 + 30.0, 900.0) is Taken.REPEATED
    assert forecaster.observe(BEGIN, 900.0) is Taken.REPEATED
    assert said(forecaster).points == 10


def test_a_day_without_samples_begins_anew() -> None:
    forecaster = Forecaster.of(times(walk(2 * DAY)))
    assert forecaster.observe(BEGIN + (4 * DAY) * 60.0, 10.0) is Taken.RESTARTED
    assert said(forecaster).points == 1


def test_a_spike_is_bounded_and_forgotten_by_the_forecast_within_the_half_hour() -> None:
    history = walk(2 * DAY, seed=6)
    spiked = [*history, 1e4 * history[-1], *([history[-1]] * 31)]
    made = said(Forecaster.of(times(spiked)))
    assert made.upper < 3.0 * history[-1]


values = st.one_of(
    st.floats(min_value=0.0, max_value=1e9),
    st.sampled_from([0.0, math.nan, math.inf, -1.0, 1e-300, 1e30]),
)


@settings(max_examples=60, deadline=None)
@given(
    samples=st.lists(st.tuples(st.integers(min_value=-50, max_value=5000), values), max_size=120),
    quantile=st.floats(min_value=0.5, max_value=0.999),
    window=st.floats(min_value=1.0, max_value=20_000.0),
)
def test_any_series_has_a_defined_answer(samples: list[tuple[int, float]], quantile: float, window: float) -> None:
    forecaster, highest = Forecaster(window), 0.0
    for minute, value in samples:
        if forecaster.observe(60.0 * minute, value) in (Taken.TAKEN, Taken.RESTARTED):
            highest = max(highest, value)
    made = forecaster.forecast(window, quantile)
    if isinstance(made, Nothing):
        assert forecaster.newest_seconds is None
        return
    assert 0.0 <= made.expected <= made.upper <= CAP * highest * (1 + 1e-6)
    assert MARGIN_BOUNDS[0] <= made.margin <= MARGIN_BOUNDS[1]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(min_value=1e-3, max_value=1e6))
def test_a_fleet_of_another_size_is_forecast_alike(seed: int, scale: float) -> None:
    history = walk(DAY + 200, seed)
    small, large = (said(Forecaster.of(times(list(np.array(history) * by)))) for by in (1.0, scale))
    assert large.upper == pytest.approx(small.upper * scale, rel=1e-2)
