"""Elects the one process that writes, by a Lease, and says at any moment for how long it may still write.

Stands beside everything: standby processes keep their caches warm and write nothing. The clocks of two machines
are never compared: a candidate takes the lease when it has not seen it change for its whole duration by its own
clock (as client-go does), and the leader counts its time from before it sent the last renewal that succeeded. So
with renew deadline < duration the leader falls silent before anybody can follow it, whatever the network does,
and a process that was stopped meanwhile finds its time run out when it wakes up.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from heterofleet.api.labels import Manifest
from heterofleet.cluster import errors
from heterofleet.cluster.client import Cluster
from heterofleet.cluster.objects import Ref
from heterofleet.control.settings import LeaseSettings

_log = logging.getLogger(__name__)

API_VERSION: Final = "coordination.k8s.io/v1"
KIND: Final = "Lease"
SOONEST_RETRY_SECONDS: Final = 0.1


class LeaseLost(Exception):
    """Another process leads, or nobody knows: this one may write no more."""


class _Sighting(NamedTuple):
    """A state of the lease, and when by our clock it was first seen so."""

    resource_version: str
    seen: float


def boot_clock() -> float:
    """Seconds that go on while the process is stopped and while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Election:
    """One process's part in the election; `cluster` must let the Lease be written by those who do not lead."""

    def __init__(
        self,
        cluster: Cluster,
        settings: LeaseSettings,
        identity: str,
        *,
        clock: Callable[[], float] = boot_clock,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._jitter = jitter
        self._cluster = cluster
        self._settings = settings
        self._identity = identity
        self._clock = clock
        self._wall_clock = wall_clock
        self._ref = Ref(API_VERSION, KIND, settings.namespace, settings.name)
        self._sighting: _Sighting | None = None
        self._lease: Manifest | None = None
        self._write_until = 0.0
        self.leading = asyncio.Event()

    def write_seconds_left(self) -> float:
        """For how long this process may still write; 0 when it does not lead."""
        return max(0.0, self._write_until - self._clock())

    async def run(self) -> None:
        """Waits for the lease, then keeps it; raises `LeaseLost` when it cannot be kept."""
        while True:
            if await self._try_to_take():
                break
            # Two standby processes that asked at the same moments would collide for ever.
            await asyncio.sleep(self._settings.retry_period_seconds * (1 + 0.2 * self._jitter()))
        _log.info("Leading as %s", self._identity)
        self.leading.set()
        try:
            while True:
                await asyncio.sleep(self._settings.retry_period_seconds)
                await self._renew()
        finally:
            self.leading.clear()

    async def release(self) -> None:
        """Gives the lease back, so that a standby need not wait for its end; writes stop before."""
        lease, self._lease, self._write_until = self._lease, None, 0.0
        if lease is None:
            return
        spec = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": self._stamp()}
        try:
            await self._cluster.replace({**lease, "spec": spec})
        except errors.ClusterError as exc:
            _log.warning("Could not release the lease, so it runs out by itself: %s", exc)
        else:
            _log.info("Released the lease")

    async def _try_to_take(self) -> bool:
        """Makes one attempt; a conflict or an unreachable server only means to try again."""
        try:
            async with asyncio.timeout(self._settings.renew_deadline_seconds):
                lease = await self._cluster.get(self._ref)
                if lease is None:
                    return await self._write(self._new(), self._cluster.create)
                if self._is_held(lease):
                    return False
                return await self._write(self._taken_over(lease), self._cluster.replace)
        except errors.Conflict:
            return False
        except (errors.ClusterError, TimeoutError) as exc:
            _log.warning("Cannot reach the lease %s: %s", self._ref, exc)
            return False

    async def _renew(self) -> None:
        """Renews until it succeeds or the deadline passes; what another holder wrote is never written over."""
        while True:
            left = self.write_seconds_left()
            if left <= 0:
                self._lease = None
                raise LeaseLost(f"the lease could not be renewed for {self._settings.renew_deadline_seconds:g} s")
            try:
                async with asyncio.timeout(left):
                    if await self._renew_once():
                        return
            except (errors.ClusterError, TimeoutError) as exc:
                _log.warning("The lease was not renewed: %s", str(exc) or "no answer in time")
            # The nearer the deadline, the sooner: a last attempt must not fall on the deadline itself.
            soon = max(SOONEST_RETRY_SECONDS, self.write_seconds_left() / 2)
            await asyncio.sleep(min(self._settings.retry_period_seconds, soon))

    async def _renew_once(self) -> bool:
        lease = self._lease
        if lease is None:
            lease = await self._cluster.get(self._ref)
            if lease is None:
                return await self._write(self._new(), self._cluster.create)
            holder = lease["spec"].get("holderIdentity")
            if holder != self._identity:
                self._write_until = 0.0
                raise LeaseLost(f"the lease is held by {holder or 'nobody'}")
        renewed = {**lease, "spec": {**lease["spec"], "renewTime": self._stamp()}}
        try:
            return await self._write(renewed, self._cluster.replace)
        except (errors.Conflict, errors.NotFound):
            # Somebody touched the object (a person's annotation, say): read it afresh before the next attempt.
            self._lease = None
            return False

    async def _write(self, lease: Manifest, send: Callable[[Manifest], Awaitable[Manifest]]) -> bool:
        """Sends a lease that names us; our time counts from before it was sent."""
        before = self._clock()
        self._lease = await send(lease)
        self._write_until = before + self._settings.renew_deadline_seconds
        return True

    def _is_held(self, lease: Manifest) -> bool:
        spec = lease.get("spec") or {}
        version = lease["metadata"]["resourceVersion"]
        if self._sighting is None or self._sighting.resource_version != version:
            self._sighting = _Sighting(version, self._clock())
        if spec.get("holderIdentity") in (None, "", self._identity):
            return False  # Ours: an earlier attempt whose answer never came.
        duration = max(spec.get("leaseDurationSeconds") or 0, self._settings.duration_seconds)
        return self._clock() - self._sighting.seen < duration

    def _new(self) -> Manifest:
        return {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"namespace": self._ref.namespace, "name": self._ref.name},
            "spec": self._spec(transitions=0),
        }

    def _taken_over(self, lease: Manifest) -> Manifest:
        transitions = (lease.get("spec") or {}).get("leaseTransitions") or 0
        return {**lease, "spec": self._spec(transitions=transitions + 1)}

    def _spec(self, *, transitions: int) -> Manifest:
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._settings.duration_seconds,
            "acquireTime": self._stamp(),
            "renewTime": self._stamp(),
            "leaseTransitions": transitions,
        }

    def _stamp(self) -> str:
        return self._wall_clock().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
