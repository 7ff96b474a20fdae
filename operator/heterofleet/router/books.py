"""What of a router outlives its requests: the store that the configuration names, the ledger and the desk over it.

Stands between `stores`, which keep, and the parts that ask: `pipeline` (the ledger), the ladder and `front` (the desk).
Money is kept in step with the store only where a tenant has a budget. Until the first exchange has succeeded nothing of
what was spent is known, and the router is not ready: its tenants would be refused here, and not at another.
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable
from pathlib import Path

from heterofleet.api.routing import RouterConfig
from heterofleet.api.store import Store as StorePolicy
from heterofleet.api.tenancy import Tenants
from heterofleet.router import spend
from heterofleet.router.budget import Budgets
from heterofleet.router.desk import ReviewDesk
from heterofleet.router.ledger import Ledger
from heterofleet.router.settings import Settings
from heterofleet.router.snapshot import Rejected
from heterofleet.router.stores import Store, StoreError
from heterofleet.router.stores.memory import MemoryStore
from heterofleet.router.stores.opening import open_store

_log = logging.getLogger(__name__)

JOURNAL = "router.journal"
"""File of the store on a volume."""
PASSWORD = "password"  # noqa: S105  the name of a file
"""File of the store's password, where a folder is mounted."""


class Books:
    """The store of one router, and who works on it. `clock` tells wall time; `ended` hears how a task has ended."""

    def __init__(
        self, settings: Settings, clock: Callable[[], float], ended: Callable[[asyncio.Task[None]], None]
    ) -> None:
        self._settings, self._clock, self._on_end = settings, clock, ended
        self._wanted = StorePolicy()
        self._bounded = False
        self._former: list[tuple[Store, ReviewDesk]] = []
        self._keeping: asyncio.Task[None] | None = None
        self.store: Store = MemoryStore()
        self.desk = ReviewDesk(self.store, clock)
        self.ledger = Ledger(uuid.uuid4().hex, Budgets(Tenants()))

    def configure(self, config: RouterConfig) -> None:
        """Takes what a configuration says of store and budgets. Raises Rejected, and then nothing has changed."""
        wanted = config.policy.store
        if self._differs(wanted):
            opened = self._opened(wanted, config)
            # Requests that wait for a person do so at the former desk, whose store is open to the end.
            self._former.append((self.store, self.desk))
            self.store, self.desk = opened, ReviewDesk(opened, self._clock)
            self.ledger.cursor = ""
            self._stop_keeping()
        self._wanted, self._bounded = wanted, config.policy.tenants.bounded
        self.ledger.policy = Budgets(config.policy.tenants)
        if not self._bounded:
            self._stop_keeping()
        elif self._keeping is None:
            keep = spend.keep_in_step(self.ledger, self.store, self._clock)
            self._keeping = asyncio.get_running_loop().create_task(keep, name="spend")
            self._keeping.add_done_callback(self._on_end)

    def unready(self) -> str | None:
        """Why no traffic should come, or None."""
        if self._bounded and not self.ledger.known:
            return "what tenants have spent is not known yet: the store has not answered"
        return None

    async def close(self) -> None:
        """Tells the store what it does not know yet, and closes it."""
        self._stop_keeping()
        if self._bounded:
            try:
                await spend.finish(self.ledger, self.store, self._clock)
            except StoreError as exc:
                _log.warning("what was spent last is lost, since the store does not answer: %s", exc)
        for store, desk in (*self._former, (self.store, self.desk)):
            await desk.close()
            with contextlib.suppress(StoreError):
                await store.close()

    def _differs(self, wanted: StorePolicy) -> bool:
        """Whether another store is meant; a file is the same whatever claim it lies on."""
        return wanted.redis != self._wanted.redis or (wanted.file is None) is not (self._wanted.file is None)

    def _opened(self, wanted: StorePolicy, config: RouterConfig) -> Store:
        journal = self._settings.store_folder / JOURNAL
        try:
            return open_store(
                wanted,
                namespace=config.namespace,
                fleet=config.fleet,
                journal=journal,
                password_file=_password(self._settings.store_password),
            )
        except StoreError as exc:
            raise Rejected(f"store: {exc}") from exc
        except OSError as exc:
            raise Rejected(
                f"store.file: {journal} cannot be used ({exc.strerror}): mount the volume there, or name another folder"
                " with --store-folder"
            ) from exc

    def _stop_keeping(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            self._keeping = None


def _password(given: Path) -> Path:
    return given / PASSWORD if given.is_dir() else given
