"""Keeps a router's ledger in step with the store: its own spend goes out, what all have spent comes in.

One task a router. Every turn is one batch and one read; a turn comes each second, or sooner when a tenant has spent so
much here that the other routers should know. At most that second's spend is lost when a router is killed.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from heterofleet.router.ledger import Ledger
from heterofleet.router.stores import Store, StoreError

_LOG = logging.getLogger(__name__)

INTERVAL_SECONDS: Final = 1.0
_URGENT_CHECK_SECONDS: Final = 0.1


async def turn(ledger: Ledger, store: Store, clock: Callable[[], float]) -> None:
    """One exchange with the store; raises StoreError, and the same spend goes out with the next turn."""
    batch = ledger.batch(clock())
    if batch is not None:
        await store.add_spend(batch)
        ledger.acknowledge(batch)
    totals = await store.read_spend(ledger.cursor, router=ledger.router, now=clock())
    ledger.learn(totals, clock())


async def keep_in_step(ledger: Ledger, store: Store, clock: Callable[[], float]) -> None:
    """Runs until cancelled; says once when the store goes away, and once when it is back."""
    away = False
    while True:
        try:
            await turn(ledger, store, clock)
        except StoreError as exc:
            if not away:
                _LOG.warning("spend is not shared until the store answers again: %s", exc)
            away = True
        else:
            if away:
                _LOG.info("the store answers again: spend is shared")
            away = False
        await _pause(ledger, heed_urgency=not away)


async def finish(ledger: Ledger, store: Store, clock: Callable[[], float]) -> None:
    """Tells the store all that it does not know yet, before a router ends. Raises StoreError."""
    while (batch := ledger.batch(clock())) is not None:
        await store.add_spend(batch)
        ledger.acknowledge(batch)


async def _pause(ledger: Ledger, *, heed_urgency: bool) -> None:
    """Until the next turn is due. A flag that is looked at costs requests less than an event that they set."""
    for _ in range(round(INTERVAL_SECONDS / _URGENT_CHECK_SECONDS)):
        await asyncio.sleep(_URGENT_CHECK_SECONDS)
        if heed_urgency and ledger.urgent:
            return
