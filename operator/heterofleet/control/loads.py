"""What is known of every fleet's load: from Prometheus each minute for all, from the routers' own queues at each tick.

    look      one reading of each Prometheus, for all fleets; samples go to the fleets' forecasters
    of        the load of one fleet now: forecasts, what is offered, what waits, and what is missing

A fleet that is new to this process is given its history first; until then its load is not `settled`, and what was
told of it before stays. Where a Prometheus says nothing, the last forecasts
grow old by themselves and then say nothing either; where the operator has none at all, there is no load to forecast,
and what waits in queues alone asks for more than the minimum.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from heterofleet.api.conditions import Reason
from heterofleet.api.labels import FleetKey, Tier
from heterofleet.api.routing import RequestClass
from heterofleet.control.standing import Standing
from heterofleet.control.virtual import Clock
from heterofleet.metrics.history import History
from heterofleet.metrics.rules import STEP_SECONDS
from heterofleet.metrics.samples import Loss, Lost
from heterofleet.metrics.signals import Signals
from heterofleet.planning.forecast import Forecaster, Nothing
from heterofleet.planning.situation import CLASS_OF, ClassLoad, Forecast
from heterofleet.status import Finding

_log = logging.getLogger(__name__)

MEAN_REQUEST_TOKENS: Final = 300.0
"""Work of a request that waits, before any was seen: a prompt of 1,000 tokens and an answer of 200."""

REMEMBERED_A_LOOK: Final = 50
"""Fleets that get their history at one look at the load of all: a thousand take four minutes."""

EAGER_SECONDS: Final = 10.0
"""Until the next look while fleets are new, in place of a minute: those that come together are looked at together."""

_FINDINGS: Final = {
    Loss.NOT_CONFIGURED: Reason.METRICS_NOT_CONFIGURED,
    Loss.NOT_ALLOWED: Reason.METRICS_ADDRESS_REFUSED,
    Loss.NO_ROUTERS: Reason.METRICS_MISSING,
    Loss.RULES_MISSING: Reason.METRICS_MISSING,
}
_UNHEARD: Final = Finding(
    Reason.METRICS_MISSING,
    "Prometheus has no series of this fleet's routers: let it scrape them (monitoring.podMonitor, docs/install.md)",
)
_FRESH: Final = Finding(Reason.METRICS_FRESH, "Prometheus tells the fleet's load")


class Reader(Protocol):
    """One Prometheus: `metrics.reader.Reader`."""

    async def read_all(
        self, now: datetime, ready_routers: Mapping[FleetKey, int]
    ) -> Mapping[FleetKey, Signals] | Lost: ...

    async def history(
        self, fleets: Iterable[FleetKey], start: datetime, end: datetime
    ) -> Mapping[FleetKey, Mapping[RequestClass, History]] | Lost: ...


class Readers(Protocol):
    """Gives the reader of a Prometheus: `metrics.sources.Sources`."""

    def reader(self, url: str | None) -> Reader | Lost: ...

    def close(self) -> None: ...


class Queues(Protocol):
    """What routers say of their own queues: `metrics.scrape.Scrape`."""

    async def router_queue(self, router: str) -> Mapping[Tier, float] | None: ...


@dataclass(frozen=True, slots=True)
class Load:
    """One fleet's load at one moment. `signals` None: nothing is known of this minute.

    `settled` False: Prometheus was not asked yet, so that nobody knows what it knows.
    """

    loads: Mapping[RequestClass, ClassLoad]
    metrics: Finding
    signals: Signals | None = None
    settled: bool = True

    @property
    def spent_usd(self) -> float | None:
        """Fleet money of the last 24 hours."""
        return None if self.signals is None else self.signals.spent_usd


@dataclass(slots=True)
class _Known:
    """One fleet as far as Prometheus has told of it."""

    url: str | None
    days: int
    forecasters: dict[RequestClass, Forecaster] = field(default_factory=dict)
    signals: Signals | None = None
    finding: Finding = _UNHEARD
    asked: bool = False
    weight: float = 0.1
    windows: Mapping[RequestClass, float] = field(default_factory=lambda: dict.fromkeys(RequestClass, 300.0))


class Loads:
    """The loads of all fleets of a process."""

    def __init__(self, readers: Readers, queues: Queues, clock: Clock) -> None:
        self._readers, self._queues, self._clock = readers, queues, clock
        self._known: dict[FleetKey, _Known] = {}
        self._routers: dict[FleetKey, int] = {}
        self._fresh: set[FleetKey] = set()
        self._came = asyncio.Event()
        self._said = ""

    def note(self, standing: Standing, prompt_weight: float, windows: Mapping[Tier, float]) -> None:
        """A fleet is there, or is as its user has changed it."""
        key, scaling = standing.fleet.key, standing.fleet.spec.scaling
        known = self._known.get(key)
        if known is None or (known.url, known.days) != (scaling.prometheus_url, scaling.forecast.history_days):
            self._known[key] = known = _Known(scaling.prometheus_url, scaling.forecast.history_days)
            self._fresh.add(key)
            self._came.set()
        known.weight = prompt_weight
        known.windows = {CLASS_OF[tier]: seconds for tier, seconds in windows.items()}
        self._routers[key] = len(standing.routers)

    def forget(self, key: FleetKey) -> None:
        self._known.pop(key, None)
        self._routers.pop(key, None)
        self._fresh.discard(key)

    def settled(self, key: FleetKey) -> bool:
        """Whether Prometheus has been asked about a fleet, its history included, whatever came of it."""
        known = self._known.get(key)
        return known is not None and known.asked

    async def run(self) -> None:
        """Looks once a minute, for ever; a look that fails is told of by every fleet's next plan."""
        try:
            while True:
                self._came.clear()
                await self._look_safely()
                await self._pause()
        finally:
            self._readers.close()

    async def _pause(self) -> None:
        """A minute, or less where fleets are new."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STEP_SECONDS / self._clock.scale):
                if not self._fresh:
                    await self._came.wait()
                await asyncio.sleep(EAGER_SECONDS / self._clock.scale)

    async def _look_safely(self) -> None:
        try:
            await self.look()
        except Exception:  # noqa: BLE001 (a defect here must leave the fleets to their reconciles)
            _log.exception("The load could not be looked at")

    async def look(self) -> None:
        """Reads every Prometheus that a fleet names, and then the history of fleets that are new."""
        by_url: defaultdict[str | None, list[FleetKey]] = defaultdict(list)
        for key, known in self._known.items():
            by_url[known.url].append(key)
        for url, keys in by_url.items():
            reader = self._readers.reader(url)
            if isinstance(reader, Lost):
                self._lose(keys, reader)
                continue
            told = await reader.read_all(self._clock.now(), {key: self._routers.get(key, 0) for key in keys})
            if isinstance(told, Lost):
                self._lose(keys, told)
                continue
            await self._remember(reader, [key for key in keys if key in self._fresh][:REMEMBERED_A_LOOK])
            self._take(keys, told)

    async def of(self, standing: Standing, windows: Mapping[Tier, float], quantile: float) -> Load:
        """The load of one fleet now; its routers are asked for their queues."""
        known = self._known.get(standing.fleet.key) or _Known(None, 7)
        waiting = await self._waiting(standing, known)
        if known.finding.reason is Reason.METRICS_NOT_CONFIGURED:
            return Load({name: ClassLoad(_NO_LOAD, 0.0, waiting[name]) for name in RequestClass}, known.finding)
        return Load(
            {
                CLASS_OF[tier]: ClassLoad(
                    self._forecast(known, CLASS_OF[tier], windows[tier], quantile),
                    _offered(known, CLASS_OF[tier]),
                    waiting[CLASS_OF[tier]],
                )
                for tier in Tier
            },
            known.finding,
            known.signals,
            known.asked,
        )

    async def _remember(self, reader: Reader, keys: list[FleetKey]) -> None:
        """Gives new fleets their history, so that a restart forgets nothing that Prometheus knows."""
        now = self._clock.now()
        by_days: defaultdict[int, list[FleetKey]] = defaultdict(list)
        for key in keys:
            by_days[self._known[key].days].append(key)
        for days, some in by_days.items():
            told = await reader.history(some, now - timedelta(days=days) / self._clock.scale, now)
            if isinstance(told, Lost):
                _log.warning("The history of the load is not known: %s", told.sentence)
                self._mark_asked(some)
                return
            for key in some:
                await self._recall(key, told.get(key, {}))

    async def _recall(self, key: FleetKey, histories: Mapping[RequestClass, History]) -> None:
        known = self._known.get(key)
        if known is None:
            return
        for name, history in histories.items():
            known.forecasters[name] = self._learned(name, history, known)
            # A week of minutes takes a while to learn from, and other fleets wait for the same loop.
            await asyncio.sleep(0)
        self._fresh.discard(key)
        known.asked = True

    def _mark_asked(self, keys: Iterable[FleetKey]) -> None:
        for key in keys:
            if (known := self._known.get(key)) is not None:
                known.asked = True

    def _learned(self, name: RequestClass, history: History, known: _Known) -> Forecaster:
        points = ((self._clock.seconds(at), value) for at, value in history.points(known.weight))
        return Forecaster.of(points, known.windows[name], known.days)

    def _take(self, keys: list[FleetKey], told: Mapping[FleetKey, Signals]) -> None:
        self._said = ""
        now = self._clock.seconds(self._clock.now().timestamp())
        for key in keys:
            known = self._known.get(key)
            if known is None:
                continue
            known.signals = signals = told.get(key)
            known.finding = _finding(signals)
            for name, tokens in signals.offered.items() if signals else ():
                forecaster = known.forecasters.setdefault(name, Forecaster(known.windows[name], known.days))
                forecaster.observe(now, tokens.work(known.weight), now)

    def _lose(self, keys: list[FleetKey], lost: Lost) -> None:
        finding = Finding(_FINDINGS.get(lost.reason, Reason.METRICS_LOST), lost.sentence)
        if lost.sentence != self._said and lost.reason is not Loss.NOT_CONFIGURED:
            _log.warning("The load is not known: %s", lost.sentence)
        self._said = lost.sentence
        self._mark_asked(keys)
        for key in keys:
            if (known := self._known.get(key)) is not None:
                known.signals, known.finding = None, finding

    def _forecast(self, known: _Known, name: RequestClass, window: float, quantile: float) -> Forecast | None:
        forecaster = known.forecasters.get(name)
        if forecaster is None or known.signals is None:
            return None
        made = forecaster.forecast(window, quantile, self._clock.seconds(self._clock.now().timestamp()))
        return None if isinstance(made, Nothing) else made

    async def _waiting(self, standing: Standing, known: _Known) -> Mapping[RequestClass, float]:
        """Work tokens that wait in routers, as they say themselves, and in engines, as Prometheus says."""
        told = await asyncio.gather(*(self._queues.router_queue(address) for address in standing.routers))
        waiting = {}
        for tier in Tier:
            requests = sum(queue.get(tier, 0.0) for queue in told if queue is not None)
            engines = known.signals.tiers.get(tier) if known.signals is not None else None
            if engines is not None:
                requests += engines.waiting_requests or 0.0
            waiting[CLASS_OF[tier]] = requests * _mean_request(known, CLASS_OF[tier])
        return waiting


_NO_LOAD: Final = Forecast(0.0, 0.0, 0.0, "none", 1.0, 0)


def _offered(known: _Known, name: RequestClass) -> float | None:
    tokens = known.signals.offered.get(name) if known.signals is not None else None
    return None if tokens is None else tokens.work(known.weight)


def _mean_request(known: _Known, name: RequestClass) -> float:
    """Work of one request of a class."""
    requests = known.signals.requests.get(name) if known.signals is not None else None
    offered = _offered(known, name)
    return offered / requests if requests and offered else MEAN_REQUEST_TOKENS


def _finding(signals: Signals | None) -> Finding:
    if signals is None:
        return _UNHEARD
    if len(signals.offered) == len(RequestClass):
        return _FRESH
    return Finding(
        Reason.METRICS_MISSING, f"Prometheus lacks of this fleet: {', '.join(signals.missing)}; see docs/install.md"
    )
