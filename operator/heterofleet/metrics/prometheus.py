"""Asks Prometheus: the edge, and the only place that knows prometheus_api_client.

The client is synchronous, so that questions go through a bounded pool of threads. Whatever goes wrong is a `Lost` with
a reason and a sentence, never an exception and never an empty answer: a pool whose threads all hang answers `Busy`.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Final, Protocol, TypeVar

import requests
import urllib3
from prometheus_api_client.exceptions import PrometheusApiClientException
from prometheus_api_client.prometheus_connect import PrometheusConnect

from heterofleet.metrics import samples, transport
from heterofleet.metrics.samples import Loss, Lost, MalformedError, Run, Sample
from heterofleet.metrics.source import Source

T = TypeVar("T")

_GRACE_SECONDS: Final = 1.0
"""For a thread to say itself that it was too late."""
_WHOLE: Final = {"partial_response": "false"}
"""Thanos answers with what it has got unless it is told so; half of the load would look like half a load."""


class Prometheus(Protocol):
    """What is asked of a Prometheus; tests have their own."""

    async def instant(self, expression: str) -> tuple[Sample, ...] | Lost: ...

    async def over_time(
        self, expression: str, start: float, end: float, step_seconds: float
    ) -> tuple[Run, ...] | Lost: ...


class HttpPrometheus:
    """One Prometheus over HTTP; `close` ends its threads."""

    def __init__(self, source: Source) -> None:
        self._source = source
        session = transport.session(source)
        self._client = PrometheusConnect(url=source.url, session=session)
        # In place of the client's own adapter, which tries again for seconds and knows no bounds.
        session.mount(source.url, transport.BoundedAdapter(source))
        self._threads = ThreadPoolExecutor(source.threads, "prometheus")
        self._free = asyncio.Semaphore(source.threads)

    async def instant(self, expression: str) -> tuple[Sample, ...] | Lost:
        """The newest value of each series of an expression, at the server's own time."""

        def ask() -> object:
            return self._client.custom_query(expression, params=_WHOLE)

        return await self._asked(ask, samples.instant)

    async def over_time(self, expression: str, start: float, end: float, step_seconds: float) -> tuple[Run, ...] | Lost:
        """The values of each series from `start` to `end`, both included and whole seconds since the epoch."""

        def ask() -> object:
            return self._client.custom_query_range(
                expression,
                start_time=datetime.fromtimestamp(start, UTC),
                end_time=datetime.fromtimestamp(end, UTC),
                step=f"{step_seconds:g}",
                params=_WHOLE,
            )

        return await self._asked(ask, samples.over_time)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    async def _asked(self, ask: Callable[[], object], read: Callable[[object], T]) -> T | Lost:
        patience = self._source.timeout_seconds + _GRACE_SECONDS
        try:
            async with asyncio.timeout(patience):
                await self._free.acquire()
        except TimeoutError:
            return Lost(Loss.BUSY, f"all {self._source.threads} threads still wait for {self._source.url}")
        asked = asyncio.get_running_loop().run_in_executor(self._threads, self._attempt, ask, read)
        asked.add_done_callback(lambda _: self._free.release())
        done, _ = await asyncio.wait({asked}, timeout=patience)
        return asked.result() if done else self._late()

    def _attempt(self, ask: Callable[[], object], read: Callable[[object], T]) -> T | Lost:
        """One question, on a thread of the pool."""
        url = self._source.url
        try:
            return read(ask())
        except transport.StatusError as exc:
            return _denied(url, exc) if exc.status in (401, 403) else _failed(url, exc)
        except transport.TooLargeError as exc:
            return Lost(Loss.TOO_LARGE, f"{url} answered with {exc}: raise prometheus.largestAnswerBytes")
        except (transport.TooLateError, requests.Timeout, urllib3.exceptions.TimeoutError):
            return self._late()
        except transport.SecretError as exc:
            return Lost(Loss.CREDENTIALS, f"{url} cannot be asked: {exc}")
        except MalformedError as exc:
            return Lost(Loss.MALFORMED, f"{url} does not answer as a Prometheus does: {exc}")
        except (requests.JSONDecodeError, PrometheusApiClientException, LookupError, TypeError, RecursionError):
            return Lost(Loss.MALFORMED, f"{url} does not answer as a Prometheus does: its answer holds no result")
        except (requests.RequestException, urllib3.exceptions.HTTPError) as exc:
            return Lost(Loss.UNREACHABLE, f"{url} cannot be asked: {_plain(exc)}")
        except OSError as exc:
            return Lost(Loss.CREDENTIALS, f"a file that is needed for {url} cannot be read: {exc}")

    def _late(self) -> Lost:
        seconds = self._source.timeout_seconds
        return Lost(Loss.SLOW, f"{self._source.url} did not answer within {seconds:g} s")


def _denied(url: str, exc: transport.StatusError) -> Lost:
    return Lost(Loss.DENIED, f"{url} answered {exc.status}: the operator's credentials for it are wrong or missing")


def _failed(url: str, exc: transport.StatusError) -> Lost:
    return Lost(Loss.FAILED, f"{url} answered {exc.status}: {exc.excerpt or 'nothing more'}")


def _plain(exc: Exception) -> str:
    """The innermost cause, which is what a person can mend; the layers above repeat addresses of objects."""
    cause: BaseException = exc
    while (deeper := cause.__cause__ or cause.__context__) is not None:
        cause = deeper
    return str(cause) or type(cause).__name__
