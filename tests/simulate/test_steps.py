"""Steps of an unchanged batch: the closed form is what walking gives."""

from hypothesis import given
from hypothesis import strategies as st

from heterofleet.simulate.steps import Steps

seconds = st.floats(1e-4, 1.0)
slopes = st.one_of(st.just(0.0), st.floats(1e-12, 1e-2))


@given(seconds, slopes, st.integers(1, 300))
def test_the_end_of_each_step_is_that_of_walking_there(first: float, slope: float, count: int) -> None:
    steps = Steps(5.0, count, first, slope)
    walked = 5.0
    for step in range(count):
        walked += first + slope * step
    assert abs(steps.over - walked) < 1e-9 * walked


@given(seconds, slopes, st.integers(1, 300), st.floats(0, 400))
def test_a_step_is_done_exactly_when_its_end_has_come(first: float, slope: float, count: int, later: float) -> None:
    steps = Steps(5.0, count, first, slope)
    assert steps.done(5.0 + later) == sum(steps.end(step) <= 5.0 + later for step in range(1, count + 1))


@given(seconds, slopes, st.integers(1, 300), st.floats(0, 400))
def test_a_cut_leaves_the_step_that_is_under_way(first: float, slope: float, count: int, later: float) -> None:
    steps, now = Steps(5.0, count, first, slope), 5.0 + later
    over = steps.over
    steps.cut(now)
    assert steps.over == over if now >= over else steps.done(now) == steps.count - 1 or steps.count == count == 1
