"""A whole router in this process, in front of engines that a test scripts."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
from prometheus_client.parser import text_string_to_metric_families

from heterofleet.router.server import Router
from heterofleet.router.settings import Settings
from heterofleet.router.spans import Spans
from router import wire
from router.engines import Engine, Received
from router.wire import Answer

PRICES = {"large": {"prompt": 1.0, "completion": 10.0}, "small": {"prompt": 0.1, "completion": 1.0}}
"""USD for a million tokens."""


def config(small: Sequence[Engine] = (), large: Sequence[Engine] = (), **policy: Any) -> dict[str, Any]:
    """What a file says of a fleet with these engines; they are not probed, so that a test sees its requests alone."""
    return {
        "fleet": "chat",
        "large": {"servedName": "chat-large", "price": PRICES["large"]},
        "small": {"servedName": "chat-small", "price": PRICES["small"]},
        "endpoints": [
            *({"address": engine.key, "tier": "small"} for engine in small),
            *({"address": engine.key, "tier": "large"} for engine in large),
        ],
        "policy": {"breaker": {"probeIdleSeconds": 0}, "retry": {"backoffSeconds": 0}, **policy},
    }


@dataclass
class Running:
    """One router that listens; `folder` holds its configuration and its logs."""

    router: Router
    folder: Path

    async def send(self, request: bytes) -> Answer:
        async with wire.connected(self.router.port) as client:
            client.send(request)
            return await client.answer()

    async def ask(self, model: str = "act", *headers: str, path: str = "/v1/chat/completions", **fields: Any) -> Answer:
        """Asks for a chat answer to "Hi", unless `fields` say otherwise."""
        return await self.send(wire.post(body(model, **fields), *headers, path=path))

    async def ready(self) -> None:
        """Waits until it is."""
        while True:
            if (await self.admin("/readyz")).status == 200:
                return
            await asyncio.sleep(0.01)

    async def admin(self, path: str) -> Answer:
        async with wire.connected(self.router.metrics_port) as client:
            client.send(f"GET {path} HTTP/1.1\r\nhost: router\r\nconnection: close\r\n\r\n".encode())
            status, headers = await client.head()
            headers = {name.lower(): value for name, value in headers.items()}
            return Answer(status, headers, await client.reader.read())

    async def metrics(self, name: str) -> dict[tuple[str, ...], float]:
        """The values of one metric by its own labels, in the order of their names; of counters those above 0."""
        answer = await self.admin("/metrics")
        own = ("namespace", "fleet")
        return {
            tuple(value for label, value in sorted(sample.labels.items()) if label not in own): sample.value
            for family in text_string_to_metric_families(answer.body.decode())
            for sample in family.samples
            if sample.name == f"heterofleet_router_{name}" and (sample.value or not name.endswith("_total"))
        }

    def reconfigure(self, said: Mapping[str, Any]) -> None:
        write(self.folder, said)

    async def log(self, lines: int, name: str = "access.log") -> list[dict[str, Any]]:
        """The lines of a log, once there are so many."""
        path = self.folder / name
        await until(lambda: path.read_bytes().count(b"\n") >= lines)
        return [json.loads(line) for line in path.read_text().splitlines()]


def asked(engine: Engine) -> list[Received]:
    """The requests that an engine got; a router looks at its load beside, when it likes."""
    return [received for received in engine.received if received.path != "/metrics"]


async def until(holds: Callable[[], bool]) -> None:
    """Waits until something holds; the test's own time ends what never does."""
    while True:
        if holds():
            return
        await asyncio.sleep(0.002)


def body(model: str = "act", **fields: Any) -> bytes:
    """A chat request."""
    return orjson.dumps({"model": model, "messages": [{"role": "user", "content": "Hi"}], **fields})


def write(folder: Path, said: Mapping[str, Any]) -> Path:
    path = folder / "router.yaml"
    path.write_text(json.dumps(said))
    return path


def settings(folder: Path) -> Settings:
    """On free ports of loopback, with everything in one folder."""
    return Settings(
        config=folder / "router.yaml",
        host="127.0.0.1",
        port=0,
        metrics_host="127.0.0.1",
        metrics_port=0,
        access_log=str(folder / "access.log"),
        keys=folder / "keys",
        engine_keys=folder / "engine-keys",
        store_password=folder / "password",
        store_folder=folder,
        linger_seconds=0,
        drain_seconds=1,
    )


@contextlib.asynccontextmanager
async def started(
    folder: Path, said: Mapping[str, Any], *, traced: Spans | None = None, **changes: Any
) -> AsyncIterator[Running]:
    """A router that has taken `said`, whether it could use it or not; `changes` are of its settings."""
    write(folder, said)
    router = Router(replace(settings(folder), **changes), traced)
    running = asyncio.create_task(router.run())
    try:
        await until(lambda: router.metrics_port > 0 or running.done())
        yield Running(router, folder)
    finally:
        router.stopping.set()
        await running
    assert not router.failed


@contextlib.asynccontextmanager
async def running(
    folder: Path, said: Mapping[str, Any], *, traced: Spans | None = None, **changes: Any
) -> AsyncIterator[Running]:
    """A router that listens."""
    async with started(folder, said, traced=traced, **changes) as found:
        await found.router.listening.wait()
        yield found
