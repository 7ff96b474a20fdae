"""Value: the terms of the source's 6.2 in USD a day, with signs that tell better from worse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.planning import value
from heterofleet.planning.value import Service, Value, Worth

SERVICES = st.builds(Service, st.floats(0, 100), st.floats(0, 1e7), st.floats(0, 1))
WORTHS = st.builds(Worth, st.floats(0, 10), st.floats(0, 10), st.floats(0, 100))


def test_each_term_is_usd_a_day_against_the_baseline() -> None:
    made = value.of(Service(2.0, 10_000, 0.90), Service(1.5, 12_000, 0.92), Worth(0.001, 0.01, 0.5))
    assert made == pytest.approx(Value(latency=6.0, throughput=20.0, quality=120.0))
    assert made.total == pytest.approx(146.0)


@given(SERVICES, WORTHS)
def test_no_change_is_worth_nothing(service: Service, worth: Worth) -> None:
    assert value.of(service, service, worth) == (0, 0, 0)


@given(SERVICES, SERVICES, WORTHS)
def test_slower_fewer_or_worse_is_never_worth_something(one: Service, other: Service, worth: Worth) -> None:
    worse = Service(
        max(one.seconds, other.seconds), min(one.requests_a_day, other.requests_a_day), min(one.quality, other.quality)
    )
    assert all(term <= 0 for term in value.of(one, worse, worth))


@pytest.mark.parametrize(
    ("now", "worth", "sentence"),
    [
        (Service(1, 1, 95), Worth(), "present quality 95: give a share from 0 to 1, such as 0.95 for 95 %"),
        (Service(1, 1, float("nan")), Worth(), "present quality nan: give a share from 0 to 1$"),
        (Service(-1, 1, 1), Worth(), "the present seconds and requests a day must be numbers"),
        (Service(1, float("inf"), 1), Worth(), "the present seconds and requests a day must be numbers"),
        (Service(1, 1, 1), Worth(usd_per_second=-1), "must be USD, 0 or more"),
    ],
)
def test_what_is_no_measure_is_refused(now: Service, worth: Worth, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        value.of(Service(1, 1, 1), now, worth)
