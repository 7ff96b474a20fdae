"""Opens engines, supervisors and routers on the addresses of a cluster's pods, so that the operator talks to sockets.

Needs a cluster whose pods have loopback addresses (`Cluster.start(loopback_pods=True)`). It watches the pods that
belong to fleets; each Running one answers at its own address until it is gone:

    engine pods that take requests     :8000   an EngineLike
    all engine pods                    :8001   the supervisor's /status: do the ranks of the group agree?
    router pods                        :9090   a RouterLike that applies the fleet's ConfigMap

    with DataCentre(cluster.api) as centre:
        centre.engine("chat-small-6f…").state.running = 3

With `simulated` the engines are those of `heterofleet.simulate`, which answer as a loaded engine would; with `routers`
the routers are real processes. It runs in a thread of its own; what a test sets is plain fields, read at the next
request.
"""

import asyncio
import contextlib
import functools
import json
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import aiohttp
from aiohttp import web

from heterofleet.simulate.api import Settings
from heterofleet.simulate.faults import Faults
from heterofleet.simulate.profile import Profile
from heterofleet.simulate.server import EngineServer
from testbed import routerprocess
from testbed.api import Api, Manifest
from testbed.enginelike import EngineLike
from testbed.eventually import eventually
from testbed.routerlike import RouterLike
from testbed.routerprocess import Routers

FLEET, COMPONENT, INSTANCE, TIER = (f"heterofleet.io/{name}" for name in ("fleet", "component", "instance", "tier"))
POD_INDEX = "apps.kubernetes.io/pod-index"
ENGINE_PORT, SUPERVISOR_PORT, METRICS_PORT = 8000, 8001, 9090
PATIENCE_SECONDS = 10.0
"""For how long a former pod's listener may hold an address that was given to another pod."""


class Key(NamedTuple):
    """Names one life of a pod; a StatefulSet's pod comes back under its name with another uid."""

    namespace: str
    name: str
    uid: str


@dataclass
class Played:
    """What answers at a pod's address (soon, while it is being opened), and the pod as it was last seen."""

    pod: Manifest
    runners: list[web.AppRunner] = field(default_factory=list)
    opening: asyncio.Task[None] | None = None
    engine: EngineLike | None = None
    router: RouterLike | None = None
    agreed: bool | None = None
    simulated: EngineServer | None = None
    process: asyncio.subprocess.Process | None = None

    @property
    def group(self) -> tuple[str, ...]:
        """All ranks of one instance share it."""
        metadata = self.pod["metadata"]
        labels = metadata["labels"]
        return (metadata["namespace"], labels[FLEET], labels.get(INSTANCE, metadata["name"]))

    @property
    def restarts(self) -> int:
        return sum(status["restartCount"] for status in self.pod["status"].get("containerStatuses", ()))


@dataclass(frozen=True)
class Simulated:
    """Engines of the queueing model: the profile of each tier, and how they are set up."""

    profiles: Mapping[str, Profile]
    settings: Mapping[str, Settings]


class DataCentre:
    """The fleets' processes on one cluster, or in one namespace of it."""

    def __init__(
        self,
        api: Api,
        namespace: str | None = None,
        *,
        simulated: Simulated | None = None,
        routers: Routers | None = None,
    ) -> None:
        self._api = api
        self._simulated = simulated
        self._routers = routers
        self._path = f"/api/v1/namespaces/{namespace}/pods" if namespace else "/api/v1/pods"
        self._played: dict[Key, Played] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="data centre")
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self._failure is not None:
            raise RuntimeError("the data centre broke down") from self._failure

    def engine(self, pod: str, namespace: str | None = None) -> EngineLike:
        """Waits for the engine at a pod's address."""

        def found() -> EngineLike | None:
            played = self._find(pod, namespace)
            return played.engine if played else None

        return eventually(found, message=f"no engine at pod {pod}")

    def router(self, pod: str, namespace: str | None = None) -> RouterLike:
        """Waits for the router at a pod's address."""

        def found() -> RouterLike | None:
            played = self._find(pod, namespace)
            return played.router if played else None

        return eventually(found, message=f"no router at pod {pod}")

    def engines(self) -> Mapping[str, EngineLike]:
        """The engines that answer now, by pod name."""
        return {key.name: played.engine for key, played in list(self._played.items()) if played.engine is not None}

    def routers(self) -> Mapping[str, RouterLike]:
        """The routers that answer now, by pod name."""
        return {key.name: played.router for key, played in list(self._played.items()) if played.router is not None}

    def pods(self) -> list[Manifest]:
        """The pods at whose addresses something answers now, or soon."""
        return [played.pod for played in list(self._played.values())]

    def simulated(self) -> frozenset[str]:
        """The pods whose simulated engines answer now."""
        return frozenset(key.name for key, played in list(self._played.items()) if played.simulated is not None)

    def set_faults(self, pod: str, faults: Faults) -> None:
        """Lets things go wrong at the simulated engine of a pod, from now on."""

        def found() -> EngineServer | None:
            played = self._find(pod, None)
            return played.simulated if played else None

        engine = eventually(found, message=f"no simulated engine at pod {pod}")
        self._loop.call_soon_threadsafe(engine.set_faults, faults)

    def router_process(self, pod: str) -> int:
        """Waits for the router process of a pod; gives its id."""

        def found() -> int | None:
            played = self._find(pod, None)
            return played.process.pid if played and played.process else None

        return eventually(found, message=f"no router process at pod {pod}")

    def disagree(self, pod: str, *, agreed: bool | None = False) -> None:
        """Sets what the supervisor of a pod says of its group; None goes back to what the restart counts say."""
        played = eventually(lambda: self._find(pod, None), message=f"nothing at pod {pod}")
        played.agreed = agreed

    def _find(self, pod: str, namespace: str | None) -> Played | None:
        for key, played in list(self._played.items()):
            if key.name == pod and namespace in (None, key.namespace):
                return played
        return None

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._main())
        except Exception as failure:  # noqa: BLE001  the test that owns the data centre raises it
            self._failure = failure
        finally:
            # Aborted connections close their sockets in one of the loop's next rounds.
            for _ in range(10):
                self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.close()

    async def _main(self) -> None:
        trust = ssl.create_default_context(cafile=str(self._api.authority))
        trust.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if self._api.certificate is not None:
            trust.load_cert_chain(self._api.certificate, self._api.key)
        base = f"https://{self._api.host}:{self._api.port}"
        connector = aiohttp.TCPConnector(ssl=trust)
        async with aiohttp.ClientSession(base, connector=connector, read_bufsize=1 << 24) as session:
            watching = asyncio.create_task(self._follow(session))
            stopping = asyncio.create_task(self._stop.wait())
            await asyncio.wait({watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for task in (watching, stopping):
                task.cancel()
            await asyncio.gather(watching, stopping, return_exceptions=True)
            for key in list(self._played):
                await self._close(key)
            if not watching.cancelled():
                watching.result()

    async def _follow(self, session: aiohttp.ClientSession) -> None:
        """Lists, then watches; an API server that is away or has forgotten is asked again from the list on."""
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, ConnectionError):
                async with session.get(self._path, params={"labelSelector": FLEET}) as answer:
                    # A server that finds its feet refuses for a moment, which is no empty list.
                    answer.raise_for_status()
                    listed = await answer.json()
                present = {_key(pod) for pod in listed.get("items", ())}
                for key in set(self._played) - present:
                    await self._close(key)
                for pod in listed.get("items", ()):
                    await self._see(session, pod)
                async for kind, pod in self._events(session, listed["metadata"]["resourceVersion"]):
                    if kind == "DELETED":
                        await self._close(_key(pod))
                    else:
                        await self._see(session, pod)
            await asyncio.sleep(0.2)

    async def _events(self, session: aiohttp.ClientSession, version: str) -> AsyncIterator[tuple[str, Manifest]]:
        query = {"labelSelector": FLEET, "watch": "1", "resourceVersion": version, "timeoutSeconds": "300"}
        async with session.get(self._path, params=query, timeout=aiohttp.ClientTimeout(total=None)) as answer:
            transport = answer.connection.transport if answer.connection else None
            try:
                async for line in answer.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        return
                    yield event["type"], event["object"]
            finally:
                # A watch that is left would be closed politely, and the loop does not live to see TLS say goodbye.
                if transport is not None:
                    transport.abort()

    async def _see(self, session: aiohttp.ClientSession, pod: Manifest) -> None:
        key, status = _key(pod), pod.get("status", {})
        if key in self._played:
            self._played[key].pod = pod
        running = status.get("phase") == "Running" and status.get("podIP", "").startswith("127.")
        if not running:
            await self._close(key)
        elif key not in self._played:
            played = self._played[key] = Played(pod)
            played.opening = asyncio.create_task(self._open(session, key, played))
            played.opening.add_done_callback(self._opened)

    def _opened(self, opening: asyncio.Task[None]) -> None:
        if not opening.cancelled() and opening.exception() is not None:
            self._failure = opening.exception()
            self._stop.set()

    async def _open(self, session: aiohttp.ClientSession, key: Key, played: Played) -> None:
        labels, address = played.pod["metadata"]["labels"], played.pod["status"]["podIP"]
        if labels.get(COMPONENT) == "router" and self._routers is not None:
            played.process = await self._routers.start(played.pod)
        elif labels.get(COMPONENT) == "router":
            name = f"/api/v1/namespaces/{key.namespace}/configmaps/{labels[FLEET]}-router"
            router = RouterLike(read=functools.partial(_stored_config, session, name))
            await self._listen(played, router.application(), address, METRICS_PORT)
            played.router = router
        else:
            await self._listen(played, self._supervisor(played), address, SUPERVISOR_PORT)
            if labels.get(POD_INDEX, "0") != "0":
                return
            if self._simulated is not None:
                tier = labels[TIER]
                server = EngineServer(
                    self._simulated.profiles[tier], _served_names(played.pod), self._simulated.settings[tier]
                )
                await self._retried(lambda: server.start(address, ENGINE_PORT))
                played.simulated = server
            else:
                engine = EngineLike(_served_names(played.pod))
                await self._listen(played, engine.application(), address, ENGINE_PORT)
                played.engine = engine

    async def _listen(self, played: Played, application: web.Application, address: str, port: int) -> None:
        runner = web.AppRunner(application, handle_signals=False, access_log=None, shutdown_timeout=0.1)
        played.runners.append(runner)
        await runner.setup()
        await self._retried(lambda: web.TCPSite(runner, address, port, reuse_address=True).start())

    async def _retried(self, listen: Callable[[], Awaitable[object]]) -> None:
        """Listens; a former pod's listener may still hold the address for a moment."""
        deadline = self._loop.time() + PATIENCE_SECONDS
        while True:
            try:
                await listen()
            except OSError:
                if self._loop.time() > deadline:
                    raise
                await asyncio.sleep(0.05)
            else:
                return

    def _supervisor(self, played: Played) -> web.Application:
        async def status(_request: web.Request) -> web.StreamResponse:
            return web.json_response({"agreed": self._agree(played), "phase": "serving"})

        application = web.Application()
        application.router.add_get("/status", status)
        return application

    def _agree(self, played: Played) -> bool:
        """A rank that restarted alone has another epoch than its group named."""
        if played.agreed is not None:
            return played.agreed
        return len({other.restarts for other in self._played.values() if other.group == played.group}) <= 1

    async def _close(self, key: Key) -> None:
        played = self._played.pop(key, None)
        if played is None:
            return
        if played.opening is not None:
            played.opening.cancel()
            await asyncio.wait({played.opening})
        if played.simulated is not None:
            await played.simulated.stop()
        if played.process is not None:
            await routerprocess.stop(played.process)
        for runner in played.runners:
            await runner.cleanup()


async def _stored_config(session: aiohttp.ClientSession, path: str) -> str | None:
    async with session.get(path) as answer:
        body: dict[str, Any] = await answer.json()
    stored: str | None = body.get("data", {}).get("config.json")
    return stored


def _key(pod: Manifest) -> Key:
    metadata = pod["metadata"]
    return Key(metadata["namespace"], metadata["name"], metadata["uid"])


def _served_names(pod: Manifest) -> tuple[str, ...]:
    """The names that the pod's own arguments give its model."""
    arguments: list[str] = pod["spec"]["containers"][0].get("args", [])
    if "--served-model-name" not in arguments:
        return ("model",)
    names: list[str] = []
    for argument in arguments[arguments.index("--served-model-name") + 1 :]:
        if argument.startswith("--"):
            break
        names.append(argument)
    return tuple(names)
