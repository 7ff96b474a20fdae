"""Which bounds the time of day puts on a tier's count (scaling.md, "Plan").

Times are those of the wall clock in the schedule's zone, so the change to and from summer time needs no rule of its
own: an hour that is skipped is over at once, and one that comes twice counts twice. A schedule whose end is not after
its start ends on the next day, and `days` are those on which it begins. Where two speak, the later in the list has the
word.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from heterofleet.api.labels import Tier
from heterofleet.api.scaling import Schedule, Weekday

_DAYS = tuple(Weekday)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Fewest and most planned instances, and the schedule that said each; "" where it is the tier's own bound."""

    least: int
    most: int
    least_by: str = ""
    most_by: str = ""


def bounds(schedules: Iterable[Schedule], tier: Tier, own: Bounds, now: datetime) -> Bounds:
    """The tier's `own` bounds, narrowed by the schedules that hold `now`, which must have a zone."""
    found = own
    for schedule in schedules:
        said = schedule.bounds(tier)
        if said is None or not holds(schedule, now):
            continue
        if said.min is not None:
            least = max(own.least, min(said.min, own.most))
            found = Bounds(least, max(found.most, least), schedule.name, found.most_by)
        if said.max is not None:
            most = max(own.least, min(said.max, own.most))
            found = Bounds(min(found.least, most), most, found.least_by, schedule.name)
    return found


def holds(schedule: Schedule, now: datetime) -> bool:
    """Says that `now` lies in the schedule; one whose zone is not known never holds."""
    zone = _zone(schedule.time_zone)
    if zone is None:
        return False
    local = now.astimezone(zone)
    start, end = time.fromisoformat(schedule.start), time.fromisoformat(schedule.end)
    clock = local.time()
    if start < end:
        return start <= clock < end and _begins(schedule, local.weekday())
    return (clock >= start and _begins(schedule, local.weekday())) or (
        clock < end and _begins(schedule, local.weekday() - 1)
    )


def problem(schedules: Iterable[Schedule]) -> str | None:
    """Why the schedules cannot be kept, as a sentence that says what to write instead; None where they can."""
    for schedule in schedules:
        if _zone(schedule.time_zone) is None:
            return (
                f"timeZone {schedule.time_zone!r} of schedule {schedule.name} is not known: write a name of the IANA"
                " time zone database, such as Europe/Berlin or UTC"
            )
    return None


def _begins(schedule: Schedule, weekday: int) -> bool:
    return not schedule.days or _DAYS[weekday % 7] in schedule.days


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # What is no plain relative path is a ValueError, and the name of a folder of the database an OSError.
        return None
