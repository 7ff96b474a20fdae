"""One simulated engine at an address.

Embeddable: many of them live in one process, each with an address of its own, and one that nobody asks costs nothing
but its memory.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from aiohttp import web

from heterofleet.simulate.api import Api, Settings
from heterofleet.simulate.engine import Engine
from heterofleet.simulate.faults import Faults
from heterofleet.simulate.profile import Profile

_BACKLOG: Final = 1024
_LAST_BYTES_SECONDS: Final = 5.0
"""How long the last answers of a drain may take to be written, once the model is done with them."""

_AT_ONCE_SECONDS: Final = 0.01
"""aiohttp takes 0 for no limit at all."""

_DEFAULTS: Final = Settings()


class EngineServer:
    """An engine of `profile` that answers to `served_names`, the first of which is its own."""

    def __init__(self, profile: Profile, served_names: Sequence[str], settings: Settings = _DEFAULTS) -> None:
        if not served_names:
            raise ValueError("an engine has at least one served model name")
        self._profile, self._served_names, self._settings = profile, tuple(served_names), settings
        self._away: asyncio.Task[None] | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> tuple[str, int]:
        """Listen, and return the address; port 0 takes a free one. The model loads from here on."""
        self._api = Api(self._profile, self._served_names, self._settings, self._refuse)
        self._web = web.Server(self._api.handle, access_log=None, handler_cancellation=True)
        await self._listen(host, port)
        return self.address

    async def drain(self, seconds: float) -> bool:
        """Take nothing new and wait for what is under way, then stop; says whether all of it was answered in time."""
        try:
            async with asyncio.timeout(seconds):
                await self._api.drain()
        except TimeoutError:
            await self.stop()
            return False
        await self._close(_LAST_BYTES_SECONDS)
        return True

    async def stop(self) -> None:
        """Close at once: what is under way is cut off."""
        await self._close(_AT_ONCE_SECONDS)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, or will again."""
        return self._address

    @property
    def loaded(self) -> bool:
        """Whether the model is there, so that requests can be answered."""
        return self._api.loaded

    @property
    def engine(self) -> Engine:
        """The model, brought up to now."""
        self._api.driver.pump()
        return self._api.driver.engine

    def set_faults(self, faults: Faults) -> None:
        """Let these things go wrong from now on, and nothing else."""
        self._api.apply(faults)

    async def _listen(self, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._web, host, port, backlog=_BACKLOG)
        self._address: tuple[str, int] = self._listener.sockets[0].getsockname()[:2]

    def _refuse(self, seconds: float) -> None:
        if self._away is None or self._away.done():
            self._away = asyncio.create_task(self._stay_away(seconds))

    async def _stay_away(self, seconds: float) -> None:
        self._listener.close()
        await asyncio.sleep(seconds)
        await self._listen(*self._address)

    async def _close(self, seconds: float) -> None:
        self._listener.close()
        if self._away is not None:
            self._away.cancel()
        await self._web.shutdown(seconds)
        self._api.driver.stop()
