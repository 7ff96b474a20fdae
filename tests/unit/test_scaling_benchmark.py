"""What the contest of scaling decides by itself: how curves are read, what a trace is, and when it is not believed."""

from dataclasses import replace
from math import isnan
from pathlib import Path

import numpy as np
import pytest

from benchmarks.scalingbench import contest, curve, fields, joint, mixed, tables, traces
from benchmarks.scalingbench.curve import Point
from benchmarks.scalingbench.traces import Trace
from heterofleet.api.labels import Tier
from heterofleet.planning.forecast import Forecaster
from heterofleet.planning.series import DAY

CURVE = (Point("a", 0.04, 100.0), Point("b", 0.02, 120.0), Point("c", 0.00, 200.0))


@pytest.mark.parametrize(("share", "hours"), [(0.02, 120.0), (0.03, 110.0), (0.01, 160.0), (0.05, 100.0)])
def test_a_curve_is_linear_between_its_settings_and_ends_with_the_last(share: float, hours: float) -> None:
    assert curve.hours_at(CURVE, share) == pytest.approx(hours)


def test_a_curve_that_always_violates_more_has_no_hours_there() -> None:
    assert isnan(curve.hours_at(CURVE[:2], 0.01))
    assert isnan(curve.best_at([CURVE[:1]], 0.01))


def test_a_setting_that_costs_more_and_violates_more_does_not_make_a_curve_dearer() -> None:
    worse = (*CURVE, Point("d", 0.03, 500.0))
    assert curve.hours_at(worse, 0.03) == pytest.approx(120.0)


def test_the_best_is_chosen_for_each_share_among_all_curves() -> None:
    other = (Point("e", 0.01, 150.0),)
    assert curve.best_at([CURVE, other], 0.01) == 150.0
    assert curve.best_at([CURVE, other], 0.04) == 100.0


def waves(name: str, startup_minutes: int, phase: float = 0.0, minutes: int = 200) -> Trace:
    work = 1000.0 * (5 - 4 * np.cos(2 * np.pi * np.arange(minutes) / minutes + phase))
    return Trace(name, work, np.ones(minutes, dtype=np.bool_), startup_minutes)


def test_minutes_without_a_request_among_hundreds_are_gaps_and_idle_ones_are_not(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    rows = [("m-large", 0, 500, 100, 10), ("m-large", 1, 0, 0, 0), ("m-large", 2, 400, 50, 20)]
    rows += [("m-small", 0, 3, 100, 10), ("m-small", 1, 0, 0, 0)]
    lines = ["model,minute,requests,input_tokens,output_tokens", *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    large, small = traces.minutes(path)
    assert (large.work.tolist(), large.seen.tolist()) == ([20.0, 0.0, 25.0], [True, False, True])
    assert (large.startup_minutes, small.startup_minutes) == (5, 1)
    assert small.seen.tolist() == [True, True]


def test_the_carried_traces_are_ten_days_of_two_pools() -> None:
    named = {trace.name: (len(trace.work), int((~trace.seen).sum())) for trace in traces.minutes()}
    assert named == {"m-large": (10 * DAY, 0), "m-small": (10 * DAY, 60)}


def test_variants_hold_the_same_work_in_another_order() -> None:
    trace = waves("m-large", 5, minutes=5 * DAY)
    reversed_, shuffled = trace.variants()
    assert reversed_.work.tolist() == trace.work.tolist()[::-1]
    assert sorted(shuffled.work.tolist()) == sorted(trace.work.tolist())
    assert shuffled.work.tolist() != trace.work.tolist()


def test_a_harness_that_differs_from_what_was_published_says_so() -> None:
    held = contest.hold(waves("m-large", 5), 20)
    peak = held.over_oracle(held.others["static peak"], slice(None))
    assert f"m-large at 20: static peak {peak:.3f}, not 3.3" in contest.unlike_published(held)
    assert contest.unlike_published(replace(held, mean=7)) == ()


def test_a_contest_compares_at_equal_shares_and_the_oracle_is_the_measure() -> None:
    held = contest.hold(waves("m-small", 1), 20)
    whole = slice(None)
    assert held.over_oracle(held.others["oracle"], whole) == 1.0
    ratio = held.over_best_hpa(0.05, whole)
    assert ratio * curve.best_at((curve.points(runs, whole) for runs in held.hpas.values()), 0.05) == pytest.approx(
        curve.hours_at(curve.points(held.product, whole), 0.05)
    )
    assert len(tables.of_contest(held, whole)) == 2


def test_the_58_minutes_of_azure_run_from_end_to_end() -> None:
    held = contest.hold(traces.azure(), 5)
    quantiles = [made.gpu_hours for _, made in held.product]
    assert len(held.trace.work) == 59
    assert quantiles == sorted(quantiles)


def test_a_joint_fleet_is_judged_by_the_least_quantile_that_violates_little_enough() -> None:
    held = joint.hold(waves("m-large", 5), waves("m-small", 1, phase=np.pi), mean=5)
    whole = slice(None)
    setting, chosen = held.chosen(whole)
    shares = {name: made.violating_share for name, made in held.whole}
    assert shares[setting] == chosen.violating_share
    assert all(share > joint.MOST_VIOLATING for name, share in shares.items() if float(name) < float(setting))
    assert held.fleet.shares[Tier.LARGE] + held.fleet.shares[Tier.SMALL] == held.fleet.peak
    assert set(held.without) == {"forecast", "spill", "coupling"}


def test_a_binding_budget_is_kept_by_everybody() -> None:
    under = joint.bound(joint.fleet(waves("m-large", 5), waves("m-small", 1), 5))
    for made in (under.product, under.hpa70, under.best):
        held = np.sum([track.held * track.gpus for track in made.tracks.values()], axis=0)
        assert held.max() <= under.gpus


def test_a_mixed_fleet_is_measured_beside_the_formula() -> None:
    cases = mixed.hold(waves("m-large", 5), waves("m-small", 1))
    plain = next(case for case in cases if (case.steps, case.escalation_rate) == (5, 0.0))
    assert plain.source == pytest.approx((18.2 + 5) / (18.2 * 6))
    assert plain.cost_ratio(slice(None)) == pytest.approx(plain.source, rel=0.4)


def test_what_was_forecast_for_all_quantiles_is_what_is_forecast_for_one() -> None:
    trace = waves("m-large", 5)
    made = fields.forecasts(trace)
    assert set(made) == set(fields.QUANTILES)
    forecaster = Forecaster(360.0)
    for minute, work in enumerate(trace.work.tolist()):
        forecaster.observe(60.0 * minute, work / 60.0)
    assert made[0.975][-1] == forecaster.forecast(360.0, 0.975)
