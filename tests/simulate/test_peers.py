"""The peers: Kubernetes' HorizontalPodAutoscaler and the others, by figures worked out by hand."""

from collections.abc import Sequence

import pytest

from heterofleet.simulate.fluid import Seen
from heterofleet.simulate.peers import Hpa, LastValue, QueueTarget, StaticPeak


def seen(arrived: float | None, ready: int, minute: int = 0, waiting: float = 0.0, booting: int = 0) -> Seen:
    served = min(arrived or 0.0, ready * 100.0)
    return Seen(minute, arrived, served, waiting, ready, (1,) * booting, 0)


@pytest.mark.parametrize(
    ("arrived", "count"),
    [
        (700.0, 10),  # ratio 1
        (760.0, 10),  # ratio 1.086, within the tolerance
        (771.0, 12),  # ratio 1.101: 7.71 / 0.7 = 11.01
        (640.0, 10),  # ratio 0.914, within the tolerance
    ],
)
def test_an_hpa_follows_the_ratio_outside_of_its_tolerance(arrived: float, count: int) -> None:
    assert Hpa(100.0, 0.7, window_seconds=0).decide(seen(arrived, 10)) == count


def test_an_hpa_counts_a_fifth_of_what_waits() -> None:
    assert Hpa(100.0, 0.5).decide(seen(500.0, 10, waiting=1000.0)) == 14


def test_an_hpa_counts_what_still_starts() -> None:
    assert Hpa(100.0, 0.7).decide(seen(700.0, 5, booting=5)) == 10


def counts(window_seconds: int, arrived: Sequence[float]) -> list[int]:
    hpa, count, made = Hpa(100.0, 1.0, window_seconds), 10, []
    for minute, value in enumerate(arrived):
        count = hpa.decide(seen(value, count, minute))
        made.append(count)
    return made


def test_an_hpa_falls_to_the_highest_recommendation_of_its_window() -> None:
    arrived = [1000.0, 300.0, 300.0, 400.0, 300.0, 200.0, 200.0]
    assert counts(0, arrived) == [10, 3, 3, 4, 3, 2, 2]
    assert counts(120, arrived) == [10, 10, 10, 4, 4, 4, 3]


def test_an_hpa_rises_as_fast_as_its_default_policies_let_it() -> None:
    """Four syncs a minute, each to the double or 4 more: 1, 5, 10, 20, 40."""
    assert Hpa(100.0, 0.5).decide(seen(10_000.0, 1)) == 40


def test_without_a_metric_nothing_moves() -> None:
    assert Hpa(100.0, 0.7).decide(seen(None, 7)) == 7
    assert LastValue(100.0).decide(seen(None, 7)) == 7


def test_a_queue_target_sees_load_above_what_is_ready_only_once_it_waits() -> None:
    target = QueueTarget(100.0, 0.8, cooldown_seconds=120)
    assert target.decide(seen(2000.0, 10, waiting=0.0)) == 13
    assert target.decide(seen(2000.0, 10, minute=1, waiting=1000.0)) == 25
    assert [target.decide(seen(400.0, 25, minute)) for minute in (2, 3)] == [25, 5]


def test_a_static_peak_never_moves_and_the_last_value_has_no_margin() -> None:
    assert StaticPeak(9).decide(seen(10_000.0, 3)) == 9
    assert LastValue(100.0).decide(seen(401.0, 9)) == 5
    assert LastValue(100.0).decide(seen(0.0, 9)) == 1
