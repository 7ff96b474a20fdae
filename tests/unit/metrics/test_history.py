"""Minutes stand where they belong, and what nobody told is NaN."""

import numpy as np
import pytest

from heterofleet.api.labels import FleetKey
from heterofleet.api.routing import RequestClass
from heterofleet.metrics import history
from heterofleet.metrics.history import MOST_STEPS, Grid, History, Key
from heterofleet.metrics.samples import Floats, Run

FLEET = FleetKey("a", "f")
ACT = (FLEET, RequestClass.ACT)
GRID = Grid(600.0, 60.0, 4)


def run(*points: tuple[float, float], fleet: str = "f", request_class: str = "act") -> Run:
    labels = {"namespace": "a", "fleet": fleet, "class": request_class}
    return Run(labels, np.array([at for at, _ in points]), np.array([value for _, value in points]))


def put(*runs: Run) -> dict[Key, Floats]:
    into: dict[Key, Floats] = {}
    history.put(runs, GRID, frozenset({FLEET}), into)
    return into


def test_values_stand_at_their_minutes():
    np.testing.assert_array_equal(put(run((600, 1), (720, 3)))[ACT], [1, np.nan, 3, np.nan])


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), float("-inf")])
def test_what_cannot_be_a_rate_is_no_number(value: float):
    np.testing.assert_array_equal(put(run((600, 1), (660, value)))[ACT], [1, np.nan, np.nan, np.nan])


@pytest.mark.parametrize("at", [540.0, 630.0, 840.0, 1e12])
def test_what_is_stamped_with_another_time_is_left_out(at: float):
    np.testing.assert_array_equal(put(run((600, 1), (at, 5)))[ACT], [1, np.nan, np.nan, np.nan])


def test_two_opinions_are_no_number():
    np.testing.assert_array_equal(put(run((600, 1), (660, 2)), run((660, 3), (720, 4)))[ACT], [1, np.nan, 4, np.nan])


def test_other_fleets_and_unknown_classes_are_none_of_ours():
    assert put(run((600, 1), fleet="g"), run((600, 1), request_class="none")) == {}


def test_an_empty_run_is_known_to_hold_nothing():
    np.testing.assert_array_equal(put(run())[ACT], [np.nan] * 4)


def test_work_needs_both_kinds_of_tokens():
    known = History(GRID, np.array([10.0, np.nan, 30.0, 40.0]), np.array([1.0, 2.0, np.nan, 4.0]))
    assert list(known.points(0.1)) == [(600.0, 2.0), (780.0, 8.0)]


@pytest.mark.parametrize(
    ("start", "end", "scale", "grid"),
    [
        (0.0, 180.0, 1.0, Grid(0.0, 60.0, 4)),
        (1.0, 179.0, 1.0, Grid(60.0, 60.0, 2)),
        (100.0, 103.5, 60.0, Grid(100.0, 1.0, 4)),
        (100.0, 99.0, 1.0, Grid(120.0, 60.0, 0)),
        (100.0, 102.0, 3600.0, Grid(100.0, 1.0, 3)),
    ],
)
def test_a_grid_holds_the_whole_steps_between_two_times(start: float, end: float, scale: float, grid: Grid):
    assert Grid.between(start, end, scale) == grid


def test_the_parts_of_a_grid_are_the_grid():
    whole = Grid.between(0, 7 * 86_400)
    parts = list(whole.parts())
    assert [part.count for part in parts] == [MOST_STEPS] * 7 + [1]
    np.testing.assert_array_equal(np.concatenate([part.times() for part in parts]), whole.times())
