import json
import logging
import sys

import pytest

from heterofleet.router import files
from heterofleet.router.entry import JsonFormatter


def test_a_line_of_the_log_is_json_whatever_the_message_holds() -> None:
    try:
        raise ValueError('says "no"\nand more')
    except ValueError:
        record = logging.LogRecord("router", logging.ERROR, "f", 1, 'a "%s"\n', ("quote",), sys.exc_info())
    line = JsonFormatter().format(record)
    said = json.loads(line)
    assert (said["level"], said["logger"], said["message"]) == ("error", "router", 'a "quote"\n')
    assert 'ValueError: says "no"' in said["error"]
    assert "\n" not in line


def test_a_file_that_is_nested_too_deep_is_refused_and_ends_nothing() -> None:
    with pytest.raises(ValueError, match="nested too deep"):
        files.documents("[" * 10_000)
