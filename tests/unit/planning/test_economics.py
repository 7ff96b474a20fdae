"""Money: what a fleet may cost an hour, and what its tokens cost."""

from hypothesis import given
from hypothesis import strategies as st

from heterofleet.planning import economics
from heterofleet.planning.economics import Posted


def test_tokens_cost_what_was_posted_and_answers_what_the_gpus_did():
    assert economics.posted_usd(2e6, 1e6, Posted(0.5, 2)) == 3.0
    assert economics.usd_per_token(economics.usd_per_hour(8, 2.5), 2e6) == 1e-5
    assert economics.usd_per_token(20, 0) is None
    assert economics.savings_ratio(30, 40) == 0.25
    assert economics.savings_ratio(30, 0) is None


@given(st.floats(1, 1e6), st.lists(st.floats(0, 1e5), max_size=200))
def test_money_that_follows_the_affordable_rate_never_passes_the_budget(budget: float, wanted: list[float]):
    spent, rate = 0.0, 0.0
    for wish in wanted:
        rate = min(wish, economics.affordable_usd_per_hour(budget, spent, rate))
        spent += rate / 60
        assert spent <= budget


def test_while_the_money_is_not_known_the_price_in_force_stays():
    assert economics.affordable_usd_per_hour(240, None, 3) == 10
    assert economics.affordable_usd_per_hour(240, None, 30) == 30


def test_a_rise_needs_more_room_than_what_runs():
    assert economics.affordable_usd_per_hour(100, 90, 9) == 9
    assert economics.affordable_usd_per_hour(100, 90, 0) == 8
    assert economics.affordable_usd_per_hour(100, 90, 20) == 10
