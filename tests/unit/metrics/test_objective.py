"""What counts as in time, bucket by bucket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.metrics.objective import FIRST_TOKEN_BOUNDS, INTER_TOKEN_BOUNDS, Weight, weights
from heterofleet.router import metrics


def test_the_bounds_are_those_of_the_routers():
    assert (FIRST_TOKEN_BOUNDS, INTER_TOKEN_BOUNDS) == (metrics.SECONDS, metrics.TOKEN_SECONDS)


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (2.5, (Weight("2.5", 1.0),)),
        (4, (Weight("2.5", 0.4), Weight("5.0", 0.6))),
        (600, (Weight("300.0", 1.0),)),
        (0.001, (Weight("0.005", 0.2),)),
    ],
)
def test_an_objective_between_two_bounds_counts_both_by_its_nearness(objective: float, expected: tuple[Weight, ...]):
    assert weights(objective, FIRST_TOKEN_BOUNDS) == expected


@given(st.floats(0.005, 300), st.integers(0, 1000))
def test_what_is_spread_evenly_is_in_time_by_its_share(objective: float, seed: int):
    """Observations spread evenly from 0 on, one a second: as many are in time as there are seconds."""
    counted = sum(weight.share * float(weight.le) * (seed + 1) for weight in weights(objective, FIRST_TOKEN_BOUNDS))
    assert counted == pytest.approx(objective * (seed + 1))
