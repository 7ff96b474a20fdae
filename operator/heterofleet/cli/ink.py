"""Colours for lines of text that need no table: cheaper to load than a library of terminals."""

import os
from collections.abc import Callable
from typing import Final, TextIO

Paint = Callable[[str, str], str]
"""(style, text) -> text."""

_CODES: Final = {"red": "31", "yellow": "33", "cyan": "36", "green": "32", "dim": "2", "bold": "1"}


def paint(stream: TextIO) -> Paint:
    """How to colour text for `stream`: not at all unless a person watches it (no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return lambda _, text: text
    return lambda style, text: f"\x1b[{_CODES[style]}m{text}\x1b[0m"
