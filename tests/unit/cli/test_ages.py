"""Durations in words."""

from datetime import timedelta

import pytest

from heterofleet.cli import ages


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (599, "9m59s"),
        (600, "10m"),
        (3600, "1h"),
        (7199, "1h59m"),
        (7200, "2h"),
        (11_000, "3h3m"),
        (28_800, "8h"),
        (172_799, "47h"),
        (172_800, "2d"),
        (180_000, "2d2h"),
        (700_000, "8d"),
        (86_400 * 400, "400d"),
    ],
)
def test_a_duration_is_precise_while_young_and_short_when_old(seconds: int, text: str) -> None:
    assert ages.elapsed(timedelta(seconds=seconds)) == text
