"""What a log line carries."""

import asyncio
import json
import logging
import sys
from typing import Any

import pytest
import uvloop

from heterofleet.api.labels import FleetKey
from heterofleet.control import logs


@pytest.fixture
def record() -> logging.LogRecord:
    made = logging.LogRecord("heterofleet.x", logging.WARNING, "x.py", 1, "Drained %s", ("chat",), None)
    made.created = 1767323045.5
    return made


def test_a_json_line_names_fleet_and_generation(record: logging.LogRecord) -> None:
    with logs.about(FleetKey("ns", "chat")):
        logs.at_generation(7)
        line = json.loads(logs.JsonFormatter().format(record))
    assert line == {
        "time": "2026-01-02T03:04:05.500+00:00",
        "level": "warning",
        "logger": "heterofleet.x",
        "message": "Drained chat",
        "fleet": "ns/chat",
        "generation": 7,
    }


def test_outside_of_a_reconcile_there_is_no_fleet(record: logging.LogRecord) -> None:
    with logs.about(FleetKey("ns", "chat")):
        logs.at_generation(7)
    assert {"fleet", "generation"}.isdisjoint(json.loads(logs.JsonFormatter().format(record)))


def test_a_text_line_is_for_a_person(record: logging.LogRecord) -> None:
    with logs.about(FleetKey("ns", "chat")):
        logs.at_generation(7)
        assert logs.TextFormatter().format(record) == ("2026-01-02T03:04:05.500+00:00 WARNING ns/chat@7 Drained chat")
    assert logs.TextFormatter().format(record) == ("2026-01-02T03:04:05.500+00:00 WARNING heterofleet.x Drained chat")


def test_an_error_comes_with_its_traceback(record: logging.LogRecord) -> None:
    try:
        raise ValueError("why")
    except ValueError:
        record.exc_info = sys.exc_info()
    assert json.loads(logs.JsonFormatter().format(record))["error"].endswith("ValueError: why\n")
    assert logs.TextFormatter().format(record).endswith("ValueError: why")


async def tls_errors(caplog: pytest.LogCaptureFixture) -> tuple[list[str], list[str]]:
    """What is logged of an error of TLS on a connection that is open, and then on the same one when it is closed."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(logs.on_loop_error)
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    transport, _ = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
    context: dict[str, Any] = {"message": "Fatal error on SSL protocol", "transport": transport}
    context["exception"] = RuntimeError("unable to perform operation; the handler is closed")
    loop.call_exception_handler(context)
    while_open = list(caplog.messages)
    caplog.clear()
    transport.abort()
    loop.call_exception_handler(context)
    server.close()
    await asyncio.sleep(0.01)
    return while_open, list(caplog.messages)


def test_an_error_of_tls_is_logged_unless_its_connection_was_closed(caplog: pytest.LogCaptureFixture) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        while_open, when_closed = runner.run(tls_errors(caplog))
    assert (len(while_open), when_closed) == (1, [])


def test_every_other_error_of_a_loop_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        logs.on_loop_error(runner.get_loop(), {"message": "Task exception was never retrieved"})
    assert caplog.messages == ["Task exception was never retrieved"]
