"""What can be asked of one simulated engine over HTTP: paths, envelopes of errors and headers as vLLM 0.32 has them.

Stands between aiohttp's server and the driver. /health says 200 as soon as the model is loaded, also while it drains
and while its ranks are dead, as vLLM's does; then requests that generate get 500.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson
from aiohttp import ClientConnectionResetError, web
from pydantic import ValidationError

from heterofleet.simulate import embeddings, generating, metrics, question
from heterofleet.simulate.clock import PacedClock
from heterofleet.simulate.driver import Driver
from heterofleet.simulate.engine import Engine
from heterofleet.simulate.faults import Die, Fault, Faults
from heterofleet.simulate.generating import Asked
from heterofleet.simulate.profile import Profile
from heterofleet.simulate.question import Operation, Refusal, Unrouted
from heterofleet.simulate.shapes import Identity
from heterofleet.simulate.text import Manner

VERSION: Final = "0.32.0"
"""The version of vLLM that is played."""

_PATHS: Final[Mapping[str, Operation]] = {
    "/v1/chat/completions": Operation.CHAT,
    "/v1/completions": Operation.COMPLETIONS,
    "/v1/responses": Operation.RESPONSES,
    "/v1/embeddings": Operation.EMBEDDINGS,
}

_PREFIXES: Final[Mapping[Operation, str]] = {
    Operation.CHAT: "chatcmpl-",
    Operation.COMPLETIONS: "cmpl-",
    Operation.RESPONSES: "resp_",
    Operation.EMBEDDINGS: "embd-",
}

_LARGEST_BODY_BYTES: Final = 64 * 2**20

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Settings:
    """What may be chosen of a server beside its profile and names; `quality` is the share of good answers."""

    api_keys: tuple[str, ...] = ()
    allow_faults: bool = False
    quality: float = 1.0
    mean_tokens: int = 48
    time_scale: float = 1.0
    load_seconds: float | None = None


class Api:
    """The API of one engine. Must be made inside the event loop; loading begins with it.

    `refuse` is called with the seconds for which nothing is to listen, where a fault asks for that.
    """

    def __init__(
        self, profile: Profile, served_names: Sequence[str], settings: Settings, refuse: Callable[[float], None]
    ) -> None:
        engine = Engine(profile)
        self._served_names, self._known = tuple(served_names), frozenset(served_names)
        self._settings, self._refuse = settings, refuse
        self._manner = Manner(served_names[0], settings.quality, settings.mean_tokens)
        self._bearers = frozenset(f"Bearer {key}" for key in settings.api_keys)
        self._created = int(time.time())
        self._metrics = metrics.Metrics(engine, served_names[0])
        self._clock = PacedClock(asyncio.get_running_loop().time, settings.time_scale)
        self.driver = Driver(engine, self._clock, self._metrics)
        self._ready_at = profile.load_seconds if settings.load_seconds is None else settings.load_seconds
        self._under_way = 0
        self._answered = asyncio.Event()
        self._answered.set()
        self.faults, self._die = Faults(), Die(Faults())
        self._routes = self._table()

    @property
    def loaded(self) -> bool:
        """Whether the model is there, so that requests can be answered."""
        return self._clock.now() >= self._ready_at

    def apply(self, faults: Faults) -> None:
        """Let these things go wrong from now on, and nothing else."""
        self.faults, self._die = faults, Die(faults)
        self.driver.run_at(self._settings.time_scale / faults.slow)
        if faults.load_seconds:
            self._ready_at = self._clock.now() + faults.load_seconds
        if faults.refuse_seconds:
            self._refuse(faults.refuse_seconds)

    async def drain(self) -> None:
        """Take nothing new, and wait until all that was taken is answered."""
        self.driver.engine.drain()
        await self._answered.wait()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        handler = self._routes.get((request.method, request.path))
        try:
            if self._bearers and request.path.startswith("/v1"):
                self._authorise(request)
            if handler is None:
                raise _unknown(request, self._routes)
            return await handler(request)
        except Refusal as refusal:
            return _refused(request, refusal)
        except ClientConnectionResetError:
            # The client left just when a piece of its answer was there: aiohttp would log that as an error of ours.
            return web.Response()

    def _table(self) -> Mapping[tuple[str, str], Handler]:
        routes: dict[tuple[str, str], Handler] = {
            ("GET", "/health"): self._health,
            ("GET", "/ping"): self._health,
            ("POST", "/ping"): self._health,
            ("GET", "/version"): self._version,
            ("GET", "/metrics"): self._exposition,
            ("GET", "/v1/models"): self._models,
            **{("POST", path): self._generate for path in _PATHS},
        }
        if self._settings.allow_faults:
            routes["POST", "/reset_prefix_cache"] = self._reset_prefix_cache
            routes |= {(method, "/sim/faults"): self._faults for method in ("GET", "POST", "DELETE")}
        return routes

    def _authorise(self, request: web.BaseRequest) -> None:
        if request.headers.get("Authorization") not in self._bearers:
            raise Refusal("Unauthorized", status=401, kind="AuthenticationError")

    async def _health(self, _: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=200 if self.loaded else 503)

    async def _version(self, _: web.BaseRequest) -> web.StreamResponse:
        return _json({"version": VERSION})

    async def _exposition(self, _: web.BaseRequest) -> web.StreamResponse:
        self.driver.pump()
        return web.Response(text=self._metrics.text(), headers={"Content-Type": metrics.CONTENT_TYPE})

    async def _models(self, _: web.BaseRequest) -> web.StreamResponse:
        common = {"object": "model", "created": self._created, "owned_by": "vllm", "root": self._served_names[0]}
        common |= {"parent": None, "max_model_len": self.driver.engine.profile.max_model_len, "permission": []}
        return _json({"object": "list", "data": [{"id": name, **common} for name in self._served_names]})

    async def _reset_prefix_cache(self, _: web.BaseRequest) -> web.StreamResponse:
        self.driver.engine.forget_prefixes(self._clock.now())
        self.driver.pump()
        return web.Response()

    async def _faults(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method != "GET":
            try:
                given = Faults() if request.method == "DELETE" else Faults.model_validate_json(await request.read())
            except ValidationError as exc:
                raise Refusal(str(exc)) from exc
            self.apply(given)
        return web.Response(body=self.faults.model_dump_json(), headers={"Content-Type": "application/json"})

    async def _generate(self, request: web.BaseRequest) -> web.StreamResponse:
        self._under_way += 1
        self._answered.clear()
        try:
            return await self._answer(request)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._answered.set()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        operation = _PATHS[request.path]
        fault = self._die.throw()
        if fault is Fault.CLOSE and request.transport is not None:
            request.transport.abort()
            return web.Response()
        self._check_alive(fault)
        body = await _body(request)
        fields = question.fields_of(body)
        model = fields.get("model") or self._served_names[0]
        if not isinstance(model, str) or model not in self._known:
            raise Refusal(f"The model `{model}` does not exist.", status=404, kind="NotFoundError", param="model")
        given = request.headers.get("X-Request-Id")
        identity = Identity(f"{_PREFIXES[operation]}{given or uuid.uuid4().hex}", int(time.time()), model)
        headers = {} if given is None else {"X-Request-Id": given}
        if operation is Operation.EMBEDDINGS:
            return _json(embeddings.answer(fields, identity), headers)
        asked = Asked(question.parse(operation, fields), identity, headers)
        return await generating.generate(request, asked, self.driver, self._manner, fault, self.faults)

    def _check_alive(self, fault: Fault | None) -> None:
        """Refuse what cannot be generated now."""
        if fault is Fault.BUSY:
            raise Refusal("Too many requests.", status=429, kind="RateLimitError")
        dead = self.faults.mute or self.driver.engine.draining or not self.loaded
        if dead or fault is Fault.ERROR:
            self._metrics.refuse()
            raise Refusal(
                "EngineCore encountered an issue. See stack trace (above) for the root cause.", status=500,
                kind="InternalServerError",
            )  # fmt: skip


def _json(value: object, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=orjson.dumps(value), headers={**(headers or {}), "Content-Type": "application/json"})


def _refused(request: web.BaseRequest, refusal: Refusal) -> web.Response:
    headers = {"Content-Type": "application/json"}
    if "X-Request-Id" in request.headers:
        headers["X-Request-Id"] = request.headers["X-Request-Id"]
    if refusal.status == 429:
        headers["Retry-After"] = "1"
    # vLLM's key check stands before its API and has an envelope of its own.
    body = orjson.dumps({"error": refusal.message}) if refusal.status == 401 else refusal.body()
    return web.Response(status=refusal.status, body=body, headers=headers)


def _unknown(request: web.BaseRequest, routes: Mapping[tuple[str, str], Handler]) -> Refusal:
    if any(path == request.path for _, path in routes):
        return Unrouted("Method Not Allowed", status=405)
    return Unrouted("Not Found", status=404)


async def _body(request: web.BaseRequest) -> bytes:
    if request.content_length is not None and request.content_length > _LARGEST_BODY_BYTES:
        raise Refusal("the body is too large", status=413, kind="Request Entity Too Large")
    return await request.read()
