"""Writes the log, as JSON or text, with the fleet and generation that a line is about."""

import asyncio
import contextlib
import contextvars
import json
import logging
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, Literal

from heterofleet.api.labels import FleetKey

_fleet: Final[contextvars.ContextVar[FleetKey | None]] = contextvars.ContextVar("fleet", default=None)
_generation: Final[contextvars.ContextVar[int | None]] = contextvars.ContextVar("generation", default=None)
_TLS_ERROR: Final = "Fatal error on SSL protocol"


@contextlib.contextmanager
def about(key: FleetKey) -> Iterator[None]:
    """Lines written inside, by this task and those it starts, carry the fleet."""
    fleet, generation = _fleet.set(key), _generation.set(None)
    try:
        yield
    finally:
        _generation.reset(generation)
        _fleet.reset(fleet)


def at_generation(generation: int) -> None:
    """Lines written from here on, inside `about`, carry the generation of the spec that is worked on."""
    _generation.set(generation)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, fleet, generation, error."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fleet, generation = _fleet.get(), _generation.get()
        if fleet is not None:
            line["fleet"] = f"{fleet.namespace}/{fleet.name}"
        if generation is not None:
            line["generation"] = generation
        if record.exc_info:
            line["error"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(line, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """`time LEVEL fleet@generation message`, for a person's terminal."""

    def format(self, record: logging.LogRecord) -> str:
        fleet, generation = _fleet.get(), _generation.get()
        subject = f"{fleet.namespace}/{fleet.name}" if fleet else record.name
        version = f"@{generation}" if generation is not None else ""
        line = f"{_time(record)} {record.levelname:<7} {subject}{version} {record.getMessage()}"
        if record.exc_info:
            line += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
        return line


def configure(style: Literal["json", "text"], level: str) -> None:
    """Sends all logging to standard error; kopf's and aiohttp's chatter only when they warn."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for chatty in ("kopf", "aiohttp", "asyncio"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))


def on_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Logs what an event loop found wrong, but for bytes that came for a connection which was just closed.

    Requests that are cut off at the end of a process close theirs, and uvloop's TLS calls it a fatal error when an
    answer arrives in the same round.
    """
    transport: Any = context.get("transport")  # uvloop's are no asyncio.BaseTransport.
    is_of_tls = str(context.get("message", "")).startswith(_TLS_ERROR)
    if not (is_of_tls and transport is not None and transport.is_closing()):
        loop.default_exception_handler(context)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
