"""Whatever a Prometheus answers, and however: a reason and a sentence, in time, and never an exception or a zero."""

import asyncio
import base64
import gzip
import json
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from heterofleet.metrics.prometheus import HttpPrometheus
from heterofleet.metrics.samples import Loss, Lost, Sample
from heterofleet.metrics.source import Source
from testbed import ports

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ONE = json.dumps({"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [5, "1"]}]}})


class Server:
    """Answers as a test says; `asked` holds the requests that came."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.port = ports.free(1)[0]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        self.handler: Handler = says(ONE)
        self.asked: list[web.Request] = []
        self._tls = tls

    async def open(self) -> None:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        self.runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port, ssl_context=self._tls).start()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        return await self.handler(request)


def says(text: str, status: int = 200, **headers: str) -> Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=text, headers=headers)

    return answer


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    opened = Server()
    await opened.open()
    yield opened
    await opened.runner.cleanup()


async def asked(server: Server, **settings: Any) -> tuple[Sample, ...] | Lost:
    source = Source(**{"url": server.url, "timeout_seconds": 0.5, "largest_answer_bytes": 100_000, **settings})
    prometheus = HttpPrometheus(source)
    answer = await prometheus.instant("up")
    prometheus.close()
    return answer


async def reason(server: Server, **settings: Any) -> Loss | None:
    answer = await asked(server, **settings)
    if not isinstance(answer, Lost):
        return None
    assert server.url in answer.sentence
    return answer.reason


async def test_an_answer_is_its_samples(server: Server):
    assert await asked(server) == (Sample({}, 5.0, 1.0),)
    assert dict(server.asked[0].query) == {"query": "up", "partial_response": "false"}


@pytest.mark.parametrize(
    ("status", "lost"),
    [
        (500, Loss.FAILED),
        (503, Loss.FAILED),
        (422, Loss.FAILED),
        (404, Loss.FAILED),
        (401, Loss.DENIED),
        (403, Loss.DENIED),
    ],
)
async def test_an_error_has_its_name(server: Server, status: int, lost: Loss):
    server.handler = says("no", status)
    assert await reason(server) is lost
    assert len(server.asked) == 1, "it is asked again at the next tick, and not sooner"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>",
        "[]",
        "null",
        "{}",
        '{"data": null}',
        '{"data": {"result": {}}}',
        '{"data": {"result": [1]}}',
        '{"data": {"result": [{"metric": {}}]}}',
        '{"data": {"result": [{"metric": {"a": 1}, "value": [1, "1"]}]}}',
        '{"data": {"result": [{"metric": {}, "value": [1, "one"]}]}}',
        '{"data": {"result": [{"metric": {}, "value": "12"}]}}',
        '{"data": {"result": [{"metric": {}, "value": [1]}]}}',
        ONE[:-5],
        "[" * 100_000,
    ],
)
async def test_an_answer_that_is_none_of_prometheus_is_malformed(server: Server, text: str):
    server.handler = says(text)
    assert await reason(server, largest_answer_bytes=1_000_000) is Loss.MALFORMED


async def test_an_answer_beyond_the_bound_is_not_read_to_its_end(server: Server):
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while sent < 100_000_000:
            await response.write(b" " * 100_000)
            sent += 100_000
        return response

    server.handler = endless
    assert await reason(server, timeout_seconds=20) is Loss.TOO_LARGE
    assert sent < 50_000_000


async def test_a_small_answer_that_unpacks_to_a_huge_one_is_too_large(server: Server):
    packed = gzip.compress(b" " * 50_000_000)

    async def bomb(_: web.Request) -> web.StreamResponse:
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"})

    server.handler = bomb
    assert await reason(server, timeout_seconds=20) is Loss.TOO_LARGE


async def test_a_packed_answer_is_unpacked(server: Server):
    async def packed(_: web.Request) -> web.StreamResponse:
        return web.Response(body=gzip.compress(ONE.encode()), headers={"Content-Encoding": "gzip"})

    server.handler = packed
    assert await asked(server) == (Sample({}, 5.0, 1.0),)


async def test_silence_is_slow(server: Server):
    async def silent(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    server.handler = silent
    assert await reason(server) is Loss.SLOW


async def test_one_byte_at_a_time_is_slow_too(server: Server):
    """Each comes sooner than the time that a wait for the next may take."""

    async def drips(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(100):
            await response.write(b" ")
            await asyncio.sleep(0.1)
        return response

    server.handler = drips
    assert await reason(server) is Loss.SLOW


async def test_a_connection_that_breaks_off_is_no_answer(server: Server):
    async def breaks(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(ONE.encode())
        assert request.transport is not None
        request.transport.close()
        return response

    server.handler = breaks
    assert await reason(server) is Loss.UNREACHABLE


async def test_a_redirect_is_not_followed(server: Server):
    server.handler = says("", 302, Location="http://127.0.0.1:1/")
    assert await reason(server) is Loss.FAILED
    assert len(server.asked) == 1


async def test_nobody_listens_at_the_address(server: Server):
    await server.runner.cleanup()
    assert await reason(server) is Loss.UNREACHABLE


async def test_questions_wait_for_a_thread_no_longer_than_for_an_answer(server: Server):
    async def silent(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    server.handler = silent
    prometheus = HttpPrometheus(Source(url=server.url, timeout_seconds=0.5, threads=1))
    answers = await asyncio.gather(*(prometheus.instant("up") for _ in range(8)))
    prometheus.close()
    reasons = [answer.reason for answer in answers if isinstance(answer, Lost)]
    assert len(reasons) == 8
    assert set(reasons) == {Loss.SLOW, Loss.BUSY}


async def test_a_token_is_read_anew_for_each_question_and_never_told(server: Server, tmp_path: Path):
    token = tmp_path / "token"
    token.write_text("first\n")
    prometheus = HttpPrometheus(Source(url=server.url, token_file=token))
    await prometheus.instant("up")
    token.write_text("second\n")
    await prometheus.instant("up")
    assert [request.headers["Authorization"] for request in server.asked] == ["Bearer first", "Bearer second"]
    token.write_text("third\nof two lines")
    answer = await prometheus.instant("up")
    prometheus.close()
    assert isinstance(answer, Lost)
    assert (answer.reason, "third" in answer.sentence) == (Loss.CREDENTIALS, False)


async def test_a_name_and_a_password_go_along(server: Server, tmp_path: Path):
    password = tmp_path / "password"
    password.write_text("secret\n")
    await asked(server, username="reader", password_file=password)
    assert server.asked[0].headers["Authorization"] == "Basic cmVhZGVyOnNlY3JldA=="


async def test_a_proxy_that_repeats_the_credentials_makes_nobody_else_repeat_them(server: Server, tmp_path: Path):
    async def repeat(request: web.Request) -> web.StreamResponse:
        told = request.headers["Authorization"]
        return web.Response(status=502, text=f"{'x' * 280} {told} {base64.b64decode(told.split()[1])!r}")

    server.handler = repeat
    secret = tmp_path / "secret"
    secret.write_text("c2VjcmV0")  # Base64, so that the handler can read the token, too.
    for settings in ({"token_file": secret}, {"username": "reader", "password_file": secret}):
        answer = await asked(server, **settings)
        assert isinstance(answer, Lost)
        assert answer.sentence.startswith(f"{server.url} answered 502: {'x' * 280} B")
        assert [part for part in ("c2V", "cmVhZ") if part in answer.sentence] == []


@pytest.mark.parametrize("missing", ["token_file", "ca_file"])
async def test_a_file_that_is_not_there_is_named(server: Server, tmp_path: Path, missing: str):
    path = tmp_path / "nothing"
    url = server.url.replace("http:", "https:")
    answer = await asked(server, **{"url": url, missing: path})
    assert isinstance(answer, Lost)
    assert (answer.reason, str(path) in answer.sentence) == (Loss.CREDENTIALS, True)


async def test_nothing_of_the_environment_changes_where_a_question_goes(
    server: Server, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert await asked(server) == (Sample({}, 5.0, 1.0),)


@pytest.fixture
def certified(tmp_path: Path) -> tuple[Path, Path]:
    """A key, and a certificate that it has signed for itself."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=prometheus", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return key, certificate


@pytest.fixture
async def secure(certified: tuple[Path, Path]) -> AsyncIterator[tuple[Server, Path]]:
    key, certificate = certified
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    opened = Server(context)
    await opened.open()
    yield opened, certificate
    await opened.runner.cleanup()


async def test_a_certificate_is_judged_by_the_authority_that_was_given(secure: tuple[Server, Path]):
    server, certificate = secure
    assert await asked(server, ca_file=certificate) == (Sample({}, 5.0, 1.0),)
    assert await reason(server) is Loss.UNREACHABLE


GZIP = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\xff" * 100,
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\na: " + b"b" * 100_000 + b"\r\n\r\n",
        CHUNKED + b"zz\r\n",
        CHUNKED + b"ffff\r\nshort",
        GZIP,
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=nonsense\r\nContent-Length: 3\r\n\r\n\xff\xfe{",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_no_exception(answer: bytes):
    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    listener = await asyncio.start_server(respond, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    prometheus = HttpPrometheus(Source(url=url, timeout_seconds=2))
    lost = await prometheus.instant("up")
    prometheus.close()
    listener.close()
    await listener.wait_closed()
    assert isinstance(lost, Lost)
    assert lost.reason in (Loss.UNREACHABLE, Loss.MALFORMED, Loss.FAILED)
    assert url in lost.sentence
