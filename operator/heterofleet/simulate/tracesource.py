"""Where a trace comes from, and which part of it is wanted: rows of a file, or the memory of a Prometheus."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from heterofleet.api.labels import FleetKey
from heterofleet.simulate import tracefile, tracemetrics, tracerows
from heterofleet.simulate.trace import DAY_MINUTES, InvalidTrace, Span, Trace, told
from heterofleet.simulate.tracerows import Reading

_COUNTED: Final = re.compile(r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+)m)?")
_ADDRESSES: Final = ("http://", "https://")
_DAYS_OF_METRICS: Final = 7.0


@dataclass(frozen=True, slots=True)
class Part:
    """From when to when, as people write it; all of it where nothing is said (a week of a Prometheus)."""

    begin: str | None = None
    end: str | None = None
    days: float | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A file or an address, and how what is found there is to be read."""

    place: str
    reading: Reading = field(default_factory=Reading)
    part: Part = Part()


def read(source: Source, fleet: FleetKey, now: datetime) -> Trace:
    """The part of the trace that is wanted; `fleet` is whose load a Prometheus is asked for.

    Raises InvalidTrace where it cannot be replayed, tracefile.MissingReader, tracemetrics.NoAnswer and OSError.
    """
    zone = _zone(source.reading.time_zone)
    if source.place.startswith(_ADDRESSES):
        begin, end = _between(source.part, now, zone)
        return told(tracemetrics.read(source.place, fleet, begin, end))
    whole = tracerows.of(tracefile.read(Path(source.place)), source.reading)
    return told(whole.part(_span(source.part, whole, zone)))


def moment(option: str, written: str, start: datetime, zone: ZoneInfo) -> datetime:
    """A time: of the calendar, or counted from `start` as 2d, 36h or 90m. Raises InvalidTrace."""
    counted = _COUNTED.fullmatch(written)
    try:
        if counted is not None and any(counted.groups()):
            days, hours, minutes = (float(part or 0) for part in counted.groups())
            return start + timedelta(days=days, hours=hours, minutes=minutes)
        found = datetime.fromisoformat(written)
    except (ValueError, OverflowError) as exc:
        raise InvalidTrace(f"{option} {written}: write a time such as 2026-01-31T08:00, or 2d, 36h, 90m") from exc
    return found if found.tzinfo is not None else found.replace(tzinfo=zone)


def _span(part: Part, trace: Trace, zone: ZoneInfo) -> Span:
    begin = trace.start if part.begin is None else moment("--from", part.begin, trace.start, zone)
    end = trace.time(trace.minutes) if part.end is None else moment("--to", part.end, trace.start, zone)
    if part.days is not None:
        end = min(end, begin + timedelta(minutes=round(part.days * DAY_MINUTES)))
    return Span(_minute(begin, trace), _minute(end, trace))


def _minute(at: datetime, trace: Trace) -> int:
    return round((at - trace.start).total_seconds() / 60)


def _between(part: Part, now: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    days = timedelta(days=part.days or _DAYS_OF_METRICS)
    if part.begin is None:
        end = now if part.end is None else moment("--to", part.end, now - days, zone)
        begin = end - days
    else:
        begin = moment("--from", part.begin, now - days, zone)
        end = now if part.end is None else moment("--to", part.end, begin, zone)
        end = end if part.days is None else min(end, begin + days)
    if not begin < end <= now:
        raise InvalidTrace("--from must lie before --to, and --to not after now: a Prometheus knows what has been")
    return begin.astimezone(UTC), end.astimezone(UTC)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise InvalidTrace(f"--time-zone {name} is not known: write one such as Europe/Berlin") from exc
