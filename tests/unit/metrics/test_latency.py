"""Quantiles and shares of a histogram are those of PromQL's histogram_quantile, and each other's inverse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.metrics.latency import Histogram

HISTOGRAM = Histogram((0.5, 1.0, 2.0, float("inf")), (2.0, 6.0, 6.0, 10.0))


@pytest.mark.parametrize(
    ("share", "seconds"), [(0.1, 0.25), (0.2, 0.5), (0.4, 0.75), (0.6, 1.0), (0.9, 2.0), (1.0, 2.0)]
)
def test_a_quantile_lies_within_its_bucket_as_far_as_its_rank_does(share: float, seconds: float):
    assert HISTOGRAM.quantile(share) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("seconds", "share"), [(0.0, 0.0), (0.25, 0.1), (0.75, 0.4), (1.5, 0.6), (2.0, 0.6), (99.0, 0.6)]
)
def test_a_share_counts_nothing_beyond_the_last_finite_bound(seconds: float, share: float):
    assert HISTOGRAM.share_within(seconds) == pytest.approx(share)


@given(counts=st.lists(st.floats(0.01, 100), min_size=3, max_size=10), share=st.floats(0.01, 0.99))
def test_the_share_within_a_quantile_is_its_rank(counts: list[float], share: float):
    bounds = tuple(float(index + 1) for index in range(len(counts)))
    total = tuple(sum(counts[: index + 1]) for index in range(len(counts)))
    made = Histogram((*bounds, float("inf")), (*total, total[-1]))
    assert made.share_within(made.quantile(share)) == pytest.approx(share)


def test_buckets_come_in_the_order_of_their_bounds_and_never_fall():
    made = Histogram.of({"+Inf": 10.0, "2.5": 5.9999, "1.0": 6.0})
    assert made == Histogram((1.0, 2.5, float("inf")), (6.0, 6.0, 10.0))


@pytest.mark.parametrize(
    "counts",
    [
        {},
        {"1.0": 5.0},
        {"1.0": 0.0, "+Inf": 0.0},
        {"1.0": float("nan"), "+Inf": 1.0},
        {"1.0": -1.0, "+Inf": 1.0},
        {"one": 1.0, "+Inf": 1.0},
    ],
)
def test_what_is_no_histogram_or_saw_nothing_is_none(counts: dict[str, float]):
    assert Histogram.of(counts) is None
