"""What a log line carries."""

import json
import logging
import sys

import pytest

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
