"""When a schedule holds, in its own zone, and what it makes of a tier's bounds."""

from datetime import UTC, datetime

import pytest

from heterofleet.api.labels import Tier
from heterofleet.api.scaling import Schedule
from heterofleet.planning import schedule
from heterofleet.planning.schedule import Bounds

OWN = Bounds(1, 10)


def named(name: str = "day", **fields: object) -> Schedule:
    return Schedule.model_validate({"name": name, "start": "08:00", "end": "18:00", "large": {"min": 4}} | fields)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def bounds(*schedules: Schedule, now: str = "2026-03-02T12:00") -> Bounds:
    return schedule.bounds(schedules, Tier.LARGE, OWN, at(now))


@pytest.mark.parametrize(("clock", "held"), [("07:59", False), ("08:00", True), ("17:59", True), ("18:00", False)])
def test_a_schedule_holds_from_its_start_to_before_its_end(clock: str, held: bool):
    assert schedule.holds(named(), at(f"2026-03-02T{clock}")) is held


@pytest.mark.parametrize(
    ("moment", "held"),
    [
        ("2026-03-06T23:00", True),  # Friday
        ("2026-03-07T05:59", True),
        ("2026-03-07T06:00", False),
        ("2026-03-07T23:00", False),  # Saturday
        ("2026-03-06T05:00", False),
    ],
)
def test_a_night_belongs_to_the_day_on_which_it_begins(moment: str, held: bool):
    assert schedule.holds(named(start="22:00", end="06:00", days=["Fri"]), at(moment)) is held


def test_a_schedule_that_ends_at_its_start_lasts_a_day():
    whole = named(start="08:00", end="08:00", days=["Mon"])
    held = [schedule.holds(whole, at(f"2026-03-{day}T{clock}")) for day, clock in (("02", "08:00"), ("03", "07:59"))]
    assert held == [True, True]
    assert not schedule.holds(whole, at("2026-03-03T08:00"))


def test_times_are_those_of_the_wall_clock_in_the_zone_summer_and_winter():
    berlin = named(timeZone="Europe/Berlin")
    assert schedule.holds(berlin, at("2026-01-15T07:00"))
    assert not schedule.holds(berlin, at("2026-01-15T06:30"))
    assert schedule.holds(berlin, at("2026-07-15T06:30"))


def test_an_hour_that_is_skipped_is_over_at_once_and_one_that_comes_twice_counts_twice():
    # Berlin's clocks go from 02:00 to 03:00 at 01:00 UTC on 2026-03-29, and from 03:00 to 02:00 on 2026-10-25.
    night = named(start="02:30", end="04:00", timeZone="Europe/Berlin")
    assert schedule.holds(night, at("2026-03-29T01:00"))
    assert not schedule.holds(night, at("2026-03-29T00:59"))
    assert [schedule.holds(night, at(f"2026-10-25T0{hour}:45")) for hour in (0, 1, 2, 3)] == [True, True, True, False]


def test_bounds_are_narrowed_and_say_by_whom():
    assert bounds(named()) == Bounds(4, 10, "day", "")
    assert bounds(named(), now="2026-03-02T20:00") == OWN
    assert bounds(named(large={"max": 0})) == Bounds(1, 1, "", "day")
    assert bounds(named(large={"min": 50})) == Bounds(10, 10, "day", "")
    assert bounds(named(large=None, small={"min": 4})) == OWN


def test_the_later_schedule_has_the_word():
    assert bounds(named(), named("late", large={"max": 2})) == Bounds(2, 2, "day", "late")
    assert bounds(named("early", large={"max": 2}), named()) == Bounds(4, 4, "day", "early")


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc/passwd", "/etc/localtime", "Europe", "\x00"])
def test_an_unknown_zone_is_refused_with_what_to_write_instead(zone: str):
    wrong = named(timeZone=zone)
    assert schedule.problem([named(), wrong]) == (
        f"timeZone {zone!r} of schedule day is not known: write a name of the IANA time zone database, such as"
        " Europe/Berlin or UTC"
    )
    assert not schedule.holds(wrong, at("2026-03-02T12:00"))


def test_known_zones_are_no_problem():
    assert schedule.problem([named(), named(timeZone="Europe/Berlin")]) is None
