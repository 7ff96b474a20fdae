"""Writes Events for what a person should know, in the background, each once.

Stands beside `reconcile`, which must never wait for an Event. A repeat of the same sentence about the same object
within `QUIET_SECONDS` is dropped, later ones raise the count of the Event that is there; its name is a digest of
what it says, so that a restarted operator finds it again. What waits is bounded: an Event may be lost, a fleet not.
"""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, Protocol

from heterofleet.api import labels
from heterofleet.api.labels import Manifest
from heterofleet.cluster import errors
from heterofleet.cluster.client import Cluster
from heterofleet.cluster.objects import Ref

_log = logging.getLogger(__name__)

QUIET_SECONDS: Final = 600.0
MOST_WAITING: Final = 1000
MOST_REMEMBERED: Final = 10_000
LONGEST_MESSAGE: Final = 1024
"""The API server refuses longer ones."""

EventType = Literal["Normal", "Warning"]


class EventSink(Protocol):
    """Takes what a person should know about an object; never blocks, never fails."""

    def emit(self, about: Manifest, *, kind: EventType, reason: str, message: str) -> None:
        """`reason` is CamelCase from an enum, `message` one sentence."""


class Meter(Protocol):
    def dropped_event(self) -> None: ...


@dataclass(frozen=True)
class _Note:
    name: str
    about: Ref
    about_uid: str
    kind: EventType
    reason: str
    message: str
    now: datetime


@dataclass
class _Told:
    at: float
    count: int


class Events:
    """The EventSink of the process; `run` writes what `emit` took."""

    def __init__(
        self,
        cluster: Cluster,
        meter: Meter,
        identity: str,
        *,
        clock: Callable[[], float],
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._cluster = cluster
        self._meter = meter
        self._identity = identity
        self._clock = clock
        self._wall_clock = wall_clock
        self._waiting: asyncio.Queue[_Note] = asyncio.Queue(MOST_WAITING)
        self._told: OrderedDict[str, _Told] = OrderedDict()

    def emit(self, about: Manifest, *, kind: EventType, reason: str, message: str) -> None:
        ref, uid = Ref.of(about), about["metadata"].get("uid", "")
        content = "\0".join((uid, kind, reason, message))
        name = f"{ref.name[:200]}.{hashlib.sha256(content.encode()).hexdigest()[:16]}"
        told = self._told.get(name)
        if told is not None and self._clock() - told.at < QUIET_SECONDS:
            return
        note = _Note(name, ref, uid, kind, reason, message[:LONGEST_MESSAGE], self._wall_clock())
        try:
            self._waiting.put_nowait(note)
        except asyncio.QueueFull:
            self._meter.dropped_event()
            return
        self._told[name] = _Told(self._clock(), told.count + 1 if told else 1)
        self._told.move_to_end(name)
        if len(self._told) > MOST_REMEMBERED:
            self._told.popitem(last=False)

    async def run(self) -> None:
        """Writes Events until cancelled; one that cannot be written is logged and forgotten."""
        while True:
            note = await self._waiting.get()
            try:
                await self._write(note)
            except errors.ClusterError as exc:
                _log.warning("The Event %s (%s) was not written: %s", note.reason, note.message, exc)
            finally:
                self._waiting.task_done()

    async def flush(self) -> None:
        """Waits until everything taken so far is written."""
        await self._waiting.join()

    async def _write(self, note: _Note) -> None:
        told = self._told.get(note.name)
        if told is not None and told.count > 1 and await self._raise_count(note, told.count):
            return
        try:
            await self._cluster.create(self._event(note))
        except errors.AlreadyExists:
            await self._raise_count(note, None)

    async def _raise_count(self, note: _Note, count: int | None) -> bool:
        """Says whether the Event was still there; the API server forgets Events after an hour."""
        patch: Manifest = {"lastTimestamp": _stamp(note.now)}
        if count is not None:
            patch["count"] = count
        try:
            await self._cluster.merge_patch(_ref(note), patch)
        except errors.NotFound:
            return False
        return True

    def _event(self, note: _Note) -> Manifest:
        ref = _ref(note)
        return {
            "apiVersion": ref.api_version,
            "kind": ref.kind,
            "metadata": {"namespace": ref.namespace, "name": ref.name},
            "involvedObject": {
                "apiVersion": note.about.api_version,
                "kind": note.about.kind,
                "namespace": note.about.namespace,
                "name": note.about.name,
                "uid": note.about_uid,
            },
            "type": note.kind,
            "reason": note.reason,
            "message": note.message,
            "source": {"component": labels.FIELD_MANAGER},
            "reportingComponent": labels.FIELD_MANAGER,
            "reportingInstance": self._identity[:128],
            "firstTimestamp": _stamp(note.now),
            "lastTimestamp": _stamp(note.now),
            "count": 1,
        }


def _ref(note: _Note) -> Ref:
    return Ref("v1", "Event", note.about.namespace or "default", note.name)


def _stamp(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
