"""Answers like a vLLM server without a model, so that what stands around an engine is tested on real sockets.

It speaks the part of vLLM's protocol that supervisors, operators and routers use: health, models, completions and
chat (streamed or not, with usage), metrics under vLLM's names, API keys by `--config`, and its manners at SIGTERM
(running requests finish, new ones get 500, /health stays 200). A test steers it by `POST /testbed/state`.

As a process, the child of a supervisor: engineprocess.py. On the addresses of a cluster's pods: datacentre.py.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class State:
    """What a test may set; `running` and `waiting` come on top of the requests that really run."""

    healthy: bool = True
    can_generate: bool = True
    running: int = 0
    waiting: int = 0
    token_seconds: float = 0.0
    draining: bool = False


@dataclass
class EngineLike:
    """One engine. Served names are what /v1/models lists; keys guard /v1 and nothing else, as in vLLM."""

    names: Sequence[str] = ("model",)
    keys: Sequence[str] = ()
    state: State = field(default_factory=State)
    requests: list[dict[str, Any]] = field(default_factory=list)
    authorizations: set[str | None] = field(default_factory=set)
    """What requests had in that header."""
    _running: int = 0
    _finished: int = 0
    _prompt_tokens: int = 0
    _generated_tokens: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def application(self) -> web.Application:
        application = web.Application(middlewares=[_authenticated(self.keys)])
        application.router.add_get("/health", self._health)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/v1/models", self._models)
        application.router.add_post("/v1/completions", self._completion)
        application.router.add_post("/v1/chat/completions", self._completion)
        application.router.add_post("/testbed/state", self._set_state)
        application.router.add_post("/testbed/die", self._die)
        return application

    @property
    def running(self) -> int:
        """Requests in the engine, the played ones included."""
        return self._running + self.state.running

    async def _health(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(status=200 if self.state.healthy else 503)

    async def _models(self, _request: web.Request) -> web.StreamResponse:
        data = [{"id": name, "object": "model", "owned_by": "vllm"} for name in self.names]
        return web.json_response({"object": "list", "data": data})

    async def _metrics(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(text=self.metrics())

    def metrics(self) -> str:
        """The families that the product reads, in Prometheus' text format."""
        labels = f'engine="0",model_name="{self.names[0]}"'
        values = {
            ("gauge", "vllm:num_requests_running"): self.running,
            ("gauge", "vllm:num_requests_waiting"): self.state.waiting,
            ("gauge", "vllm:kv_cache_usage_perc"): 0.0,
            ("counter", "vllm:prompt_tokens_total"): self._prompt_tokens,
            ("counter", "vllm:generation_tokens_total"): self._generated_tokens,
            ("counter", "vllm:request_success_total"): self._finished,
        }
        return "".join(f"# TYPE {name} {kind}\n{name}{{{labels}}} {value}\n" for (kind, name), value in values.items())

    async def _set_state(self, request: web.Request) -> web.StreamResponse:
        for name, value in (await request.json()).items():
            if not hasattr(self.state, name):
                return _refusal(400, f"there is no state {name}")
            setattr(self.state, name, value)
        return web.json_response(vars(self.state))

    async def _die(self, request: web.Request) -> web.StreamResponse:
        os._exit(int(request.query.get("code", "1")))

    async def _completion(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.authorizations.add(request.headers.get("Authorization"))
        if body.get("model") not in self.names:
            return _refusal(404, f"The model `{body.get('model')}` does not exist.")
        if self.state.draining or not self.state.can_generate:
            return _refusal(500, "EngineCore encountered an issue.")
        self._running += 1
        self.idle.clear()
        try:
            return await self._answer(request, body)
        finally:
            self._running -= 1
            if self._running == 0:
                self.idle.set()

    async def _answer(self, request: web.Request, body: Mapping[str, Any]) -> web.StreamResponse:
        chat = request.path.endswith("/chat/completions")
        wanted = int(body.get("max_tokens") or body.get("max_completion_tokens") or 16)
        prompt_tokens = len(json.dumps(body.get("messages") or body.get("prompt") or "").split())
        self._prompt_tokens += prompt_tokens
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": wanted, "total_tokens": prompt_tokens + wanted}
        head = {"id": "cmpl-1", "object": "chat.completion" if chat else "text_completion", "model": body["model"]}
        if not body.get("stream"):
            text = "".join([token async for token in self._tokens(wanted)])
            part = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
            self._finished += 1
            return web.json_response(
                {**head, "choices": [{"index": 0, **part, "finish_reason": "length"}], "usage": usage}
            )
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        async for token in self._tokens(wanted):
            part = {"delta": {"content": token}} if chat else {"text": token}
            await _send(response, {**head, "choices": [{"index": 0, **part, "finish_reason": None}]})
        if (body.get("stream_options") or {}).get("include_usage"):
            await _send(response, {**head, "choices": [], "usage": usage})
        await response.write(b"data: [DONE]\n\n")
        self._finished += 1
        return response

    async def _tokens(self, wanted: int) -> AsyncIterator[str]:
        for number in range(wanted):
            if self.state.token_seconds:
                await asyncio.sleep(self.state.token_seconds)
            self._generated_tokens += 1
            yield f" {number}"

    async def drained(self, seconds: float) -> bool:
        """Refuses new requests and waits for the running ones; False when time was up first."""
        self.state.draining = True
        try:
            async with asyncio.timeout(seconds):
                while self._running:
                    await self.idle.wait()
        except TimeoutError:
            return False
        return True


async def _send(response: web.StreamResponse, chunk: Mapping[str, Any]) -> None:
    await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")


def _refusal(status: int, message: str) -> web.Response:
    """OpenAI's envelope of an error, as vLLM fills it."""
    return web.json_response({"error": {"message": message, "type": "Error", "code": status}}, status=status)


def _authenticated(keys: Sequence[str]) -> Any:
    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        allowed = {f"Bearer {key}" for key in keys}
        if keys and request.path.startswith("/v1/") and request.headers.get("Authorization") not in allowed:
            return _refusal(401, "Unauthorized")
        return await handler(request)

    return check
