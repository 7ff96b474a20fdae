"""What a status tells of a plan stays until a number has moved by more than a twentieth, or a word changed."""

from datetime import UTC, datetime

from heterofleet.api.labels import Tier
from heterofleet.api.planned import Bound, Decision, Forecasts, ForecastStatus, PlannedTier, PlanStatus
from heterofleet.planning import telling
from heterofleet.planning.telling import Told


def plan(instances: int = 2, bound: Bound = Bound.FORECAST, message: str = "as forecast") -> PlanStatus:
    tier = PlannedTier(instances=instances, need=instances, bound=bound, message=message)
    return PlanStatus(large=tier, small=tier, usd_per_hour="35.20")


def forecast(tokens_per_second: float) -> Forecasts:
    made = ForecastStatus(tokens_per_second=tokens_per_second, expected_tokens_per_second=900, window_seconds=300)
    return Forecasts(plan=made)


KNOWN = Told(forecast=forecast(1000), plan=plan(), capacity={Tier.LARGE: 500.0}, startup_seconds={Tier.LARGE: 240.0})


def test_numbers_that_moved_by_a_twentieth_or_less_stay_as_they_were_told():
    fresh = Told(
        forecast=forecast(1040),
        plan=plan(message="as forecast, with other figures"),
        capacity={Tier.LARGE: 520.0},
        startup_seconds={Tier.LARGE: 250.0},
    )
    assert telling.settled(KNOWN, fresh) is KNOWN


def test_a_number_that_moved_further_tells_everything_anew():
    fresh = Told(forecast=forecast(1100), plan=plan(), capacity={Tier.LARGE: 505.0}, startup_seconds={})
    assert telling.settled(KNOWN, fresh) is fresh


def test_another_reason_is_news_though_the_count_is_the_same():
    fresh = Told(
        forecast=forecast(1000), plan=plan(bound=Bound.STABILIZATION), capacity={Tier.LARGE: 500.0}, startup_seconds={}
    )
    assert telling.settled(KNOWN, fresh) is fresh


def test_a_decision_is_news():
    decision = Decision(
        at=datetime(2026, 1, 1, tzinfo=UTC), tier=Tier.LARGE, before=1, after=2, bound=Bound.FORECAST, message="more"
    )
    fresh = Told(
        forecast=KNOWN.forecast,
        plan=KNOWN.plan,
        capacity=KNOWN.capacity,
        startup_seconds=KNOWN.startup_seconds,
        decisions=(decision,),
    )
    assert telling.settled(KNOWN, fresh) is fresh


def test_a_forecast_that_is_lost_or_found_is_news():
    assert not telling.near(forecast(1000), Forecasts())
    assert not telling.near(Forecasts(), forecast(1000))


def test_three_digits_are_told():
    assert [telling.digits(value) for value in (0.0, 1234.5, 0.012345, 99.96)] == [0.0, 1230.0, 0.0123, 100.0]


def test_a_bias_on_the_edge_of_a_step_is_told_once():
    told = 0.0
    seen = []
    for fresh in (0.05, 0.0, 0.05, 0.1, 0.05, 0.15, 0.2, 0.15, -0.1, -0.05, 0.0):
        told = telling.steady_bias(told, fresh)
        seen.append(told)
    assert seen == [0.0, 0.0, 0.0, 0.1, 0.1, 0.1, 0.2, 0.2, -0.1, -0.1, 0.0]
