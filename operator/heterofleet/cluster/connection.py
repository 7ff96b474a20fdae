"""Carries bytes to and from the API server: credentials, TLS, timeouts, errors. The only kubernetes import.

Stands below `client` (verbs on objects) and `reflector` (list and watch). The kubernetes package loads the
configuration (kubeconfig, or the pod's service account with its rotating token) and builds the HTTP session; its
models and generated methods are not used, since building them costs ten times what decoding the JSON does.
"""

import asyncio
import contextlib
import os
import urllib.parse
import urllib.request
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import aiohttp
import orjson
import yaml
from kubernetes.aio import config
from kubernetes.aio.client import Configuration, rest

from heterofleet.api import labels
from heterofleet.cluster import errors

CLOSING_SECONDS: Final = 0.02
CONNECT_SECONDS: Final = 10.0
REQUEST_SECONDS: Final = 30.0
"""An answer later than this is as good as none: the fleet is queued again."""
MOST_IN_FLIGHT: Final = 32
"""Requests at a time: more only wait in the API server's own fair queues. Watches are not counted."""
RETRY_AFTER_SECONDS: Final = 1.0
LONGEST_LINE_BYTES: Final = 16 * 2**20

Guard = Callable[[], None]
"""Raises NotLeader when a write may no longer be sent."""


class Connection:
    """An open way to one API server; make it with `connect`."""

    def __init__(self, configuration: Configuration, session: aiohttp.ClientSession) -> None:
        self._configuration = configuration
        self._session = session
        self._route: dict[str, Any] = {
            "proxy": configuration.proxy or _environments_proxy(configuration.host),
            "server_hostname": configuration.tls_server_name or None,
        }
        self._slots = asyncio.Semaphore(MOST_IN_FLIGHT)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        seconds: float = REQUEST_SECONDS,
        guard: Guard | None = None,
    ) -> bytes:
        """Sends one request and gives the body of its answer; raises a ClusterError for anything but success.

        `guard` is asked as late as can be: after the wait for a slot, and again right before the bytes are written.
        """
        async with self._slots:
            headers = await self._headers(content_type)
            if guard is not None:
                guard()
            timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)
            with _translated_errors(method, path):
                async with self._session.request(
                    method,
                    self._url(path),
                    params=query,
                    data=body,
                    headers=headers,
                    timeout=timeout,
                    trace_request_ctx=guard,
                    **self._route,
                ) as response:
                    content = await response.read()
                    if response.status >= 300:
                        raise _error(response, content)
                    return content

    async def stream(self, path: str, query: Mapping[str, str], silence_seconds: float) -> AsyncGenerator[bytes, None]:
        """Gives the lines of a watch until the server ends it; silence for longer than that is `Unavailable`."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=silence_seconds)
        headers = await self._headers("application/json")
        with _translated_errors("GET", path):
            async with self._session.get(
                self._url(path), params=query, headers=headers, timeout=timeout, **self._route
            ) as response:
                if response.status >= 300:
                    raise _error(response, await response.read())
                # Left to the garbage collector it would be closed by a task that nobody waits for.
                async with contextlib.aclosing(_lines(response.content)) as lines:
                    async for line in lines:
                        yield line

    async def _headers(self, content_type: str) -> dict[str, str]:
        headers = {"Accept": "application/json", "Content-Type": content_type}
        settings: Any = await self._configuration.auth_settings()
        for setting in settings.values():
            headers[setting["key"]] = setting["value"]
        return headers

    def _url(self, path: str) -> str:
        return f"{self._configuration.host}{path}"


@contextlib.asynccontextmanager
async def connect(kubeconfig: Path | None = None, context: str | None = None) -> AsyncIterator[Connection]:
    """Opens a connection by `kubeconfig`, else $KUBECONFIG, else the pod's service account, else ~/.kube/config.

    `context` is the kubeconfig's current one unless given. Raises Unavailable when the configuration is unusable.
    """
    with _usable_configuration():
        configuration, renewal = await _configuration(kubeconfig, context)
    configuration.connection_pool_maxsize = 0  # `Connection` bounds requests itself; watches stay open for long.
    tracing = aiohttp.TraceConfig()
    tracing.on_request_headers_sent.append(_ask_guard_again)
    configuration.trace_configs = [tracing]
    configuration.client_session_kwargs = {
        # Compression would cost both ends more processor time than the network inside a cluster costs.
        "headers": {"User-Agent": labels.FIELD_MANAGER, "Accept-Encoding": "identity"},
        # It would look for proxies and for a netrc at each request, in a thread: a third of a request's cost.
        "trust_env": False,
    }
    with _usable_configuration():
        transport = rest.RESTClientObject(configuration)
    # Its documented hook, called here since our requests go past the package's own methods.
    session: aiohttp.ClientSession = transport._create_pool_manager()
    try:
        yield Connection(configuration, session)
    finally:
        if renewal is not None:
            renewal.cancel()
        await session.close()
        # Aborted connections give their sockets back in the loop's next rounds, which nobody else may wait for.
        await asyncio.sleep(CLOSING_SECONDS)


@contextlib.contextmanager
def _usable_configuration() -> Iterator[None]:
    """The package answers a malformed kubeconfig or certificate with whatever exception it runs into."""
    try:
        yield
    except (config.ConfigException, yaml.YAMLError, OSError, LookupError, TypeError, ValueError) as exc:
        raise errors.Unavailable(f"kubeconfig: {exc}") from exc


async def _configuration(
    kubeconfig: Path | None, context: str | None
) -> tuple[Configuration, asyncio.Task[None] | None]:
    """Loads the configuration, and the task that renews a kubeconfig's short-lived token if it has one."""
    load: Any = config  # The package annotates its models, not these functions.
    configuration = Configuration()
    if (
        kubeconfig is None
        and context is None
        and "KUBECONFIG" not in os.environ
        and "KUBERNETES_SERVICE_HOST" in os.environ
    ):
        load.load_incluster_config(client_configuration=configuration)
        return configuration, None
    loader = await load.load_kube_config(
        config_file=str(kubeconfig) if kubeconfig else None,
        context=context,
        client_configuration=configuration,
        persist_config=False,
    )
    renewal = load.refresh_token(loader, client_configuration=configuration)
    return configuration, asyncio.create_task(renewal, name="renew the kubeconfig's token")


def _environments_proxy(url: str) -> str | None:
    """The proxy that $HTTPS_PROXY and $NO_PROXY name for the API server, as kubectl reads them."""
    parts = urllib.parse.urlsplit(url)
    if parts.hostname is None or urllib.request.proxy_bypass(parts.hostname):
        return None
    return urllib.request.getproxies().get(parts.scheme)


async def _ask_guard_again(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _params: aiohttp.TraceRequestHeadersSentParams
) -> None:
    """Runs right before the request is written: a handshake may have taken seconds, or the process been stopped."""
    if context.trace_request_ctx is not None:
        context.trace_request_ctx()


@contextlib.contextmanager
def _translated_errors(method: str, path: str) -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError) as exc:
        detail = str(exc) or type(exc).__name__
        raise errors.Unavailable(f"{method} {path}: {detail}") from exc


def _error(response: aiohttp.ClientResponse, content: bytes) -> errors.ClusterError:
    """Reads the server's Status object; a proxy in between may have answered with something else."""
    try:
        status = orjson.loads(content)
        message, reason = str(status["message"]), str(status.get("reason") or "")
    except (orjson.JSONDecodeError, KeyError, TypeError):
        message, reason = content[:500].decode(errors="replace") or str(response.reason), ""
    try:
        wait = float(response.headers.get("Retry-After", RETRY_AFTER_SECONDS))
    except ValueError:
        wait = RETRY_AFTER_SECONDS
    return errors.from_answer(response.status, message, reason, wait)


async def _lines(content: aiohttp.StreamReader) -> AsyncGenerator[bytes, None]:
    """Splits a stream into lines of any length: aiohttp's own line reader gives up beyond its buffer."""
    rest_of_line = b""
    async for chunk in content.iter_any():
        *complete, rest_of_line = (rest_of_line + chunk).split(b"\n")
        if len(rest_of_line) > LONGEST_LINE_BYTES:
            raise errors.Unavailable(f"a watch event is longer than {LONGEST_LINE_BYTES} bytes")
        for line in complete:
            if line:
                yield line
