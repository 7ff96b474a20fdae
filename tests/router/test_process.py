"""The router's own process: its arguments, its configuration file, and how it ends."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from router import running
from router.engines import STREAM_HEAD, delta, engine, piece, says
from router.routerprocess import RouterProcess
from router.running import until
from router.site import Gate, streamed
from router.wire import connected, post


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "heterofleet.router.entry", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "say --config FILE to run alone, or --namespace and --fleet to run for a fleet of a cluster"),
        (("--config", "x", "--fleet", "y"), "--config and --fleet exclude each other"),
        (("--config", "x", "--port", "no"), "argument --port: invalid int value: 'no'"),
        (("--nonsense",), "unrecognized arguments: --nonsense"),
        (("--config", "x", "--weights", "/nowhere"), "--weights /nowhere: No such file or directory"),
    ],
)
def test_arguments_that_cannot_be_followed_end_it_with_2_and_a_sentence(arguments, sentence):
    ended = run(*arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert sentence in ended.stderr


def test_a_configuration_that_is_not_there_ends_it(tmp_path):
    ended = run("--config", str(tmp_path / "none.yaml"), "--metrics-port", "0", "--access-log", "none")
    assert ended.returncode == 1
    assert "No such file" in ended.stderr


async def test_it_starts_serves_and_ends_at_sigterm(tmp_path: Path):
    log = tmp_path / "access.log"
    async with (
        engine(says("hello")) as small,
        RouterProcess(tmp_path, running.config([small]), "--access-log", str(log)) as router,
    ):
        answer = await (await router.ready()).ask()
        await router.stop(signal.SIGTERM)
        assert (answer.status, router._process.returncode) == (200, 0)
        (line,) = log.read_text().splitlines()
        assert json.loads(line)["outcome"] == "ok"


async def test_no_request_is_lost_at_sigterm(tmp_path: Path):
    gate = Gate(says("hello"))

    async def slowly(received, writer):
        if received.fields.get("stream"):
            writer.write(STREAM_HEAD + piece(delta("Once")))
            await gate.open.wait()
            writer.write(piece(delta("upon", "stop")) + piece(b"data: [DONE]\n\n") + b"0\r\n\r\n")
        else:
            await gate(received, writer)

    async with (
        engine(slowly) as small,
        RouterProcess(tmp_path, running.config([small])) as router,
        connected_when_ready(router) as whole,
        connected(router.port) as stream,
    ):
        whole.send(post(running.body("act")))
        stream.send(post(running.body("act", stream=True)))
        await stream.head()
        first = await stream.piece()
        await until(lambda: gate.came == 1)
        stopping = asyncio.create_task(router.stop(signal.SIGTERM))
        await reached(router.readiness, lambda said: said != "ok\n")
        gate.open.set()
        answer = await whole.answer()
        rest = b""
        while data := await stream.piece():
            rest += data
        assert (answer.status, streamed(first + rest)) == (200, "Onceupon")
        await stopping
        assert router._process.returncode == 0


class connected_when_ready:  # noqa: N801  used as a context alone
    """A connection to a router, once that is ready."""

    def __init__(self, router: RouterProcess) -> None:
        self._router = router

    async def __aenter__(self):
        await self._router.ready()
        self._connected = connected(self._router.port)
        return await self._connected.__aenter__()

    async def __aexit__(self, *why) -> None:
        await self._connected.__aexit__(*why)


async def test_what_a_changed_file_says_is_taken_up_and_what_cannot_be_used_is_said_everywhere(tmp_path: Path):
    async with (
        engine(says("first")) as first,
        engine(says("second")) as second,
        RouterProcess(tmp_path, running.config([first])) as router,
    ):
        await router.ready()
        before = await told(router)
        running.write(tmp_path, running.config([second]))
        after = await reached(lambda: told(router), lambda said: said["digest"] != before["digest"])
        assert (after["rejected"], after["error"]) == ("", "")
        assert b"second" in (await router.ask()).body
        (tmp_path / "router.yaml").write_text("fleet: [broken")
        refused = await reached(lambda: told(router), lambda said: said["error"])
        assert (refused["digest"], bool(refused["rejected"])) == (after["digest"], True)
        assert refused["error"].startswith("not YAML")
        assert b"second" in (await router.ask()).body
        assert re.search(rb"heterofleet_router_config_rejections_total\{[^}]*\} 1\.0", await admin(router, "/metrics"))
        assert "the new configuration is refused and the former one stays" in (tmp_path / "router.log").read_text()


async def reached(asks: Callable[[], Awaitable[Any]], holds: Callable[[Any], object]) -> Any:
    """Asks until what is said holds."""
    while True:
        found = await asks()
        if holds(found):
            return found
        await asyncio.sleep(0.02)


async def told(router: RouterProcess) -> dict:
    return json.loads(await admin(router, "/config"))


async def admin(router: RouterProcess, path: str) -> bytes:
    async with connected(router.metrics_port) as wire:
        wire.send(f"GET {path} HTTP/1.1\r\nhost: router\r\nconnection: close\r\n\r\n".encode())
        await wire.head()
        return await wire.reader.read()
