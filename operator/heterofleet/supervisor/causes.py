"""Finds why an engine ended in what it said: the sentence of the exception from which the others came.

vLLM runs in three processes, of which each tells its own traceback; the last of them says no more than that the root
cause stands above, some hundred lines earlier than what a termination message holds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

LONGEST = 400
_PREFIX = re.compile(r"^\(\w+ pid=\d+\) (?:[A-Z]+ \S+ \S+ \[[^]]*\] )?")
"""`(Worker pid=44) ERROR 11-25 09:34:20 [multiproc_executor.py:953] `"""
_EXCEPTION = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception|Interrupt): \S")
_CONSEQUENCE = re.compile(r"root cause|EngineDeadError|died unexpectedly", re.IGNORECASE)


def of(lines: Sequence[str]) -> str:
    """The sentence, or nothing where no line is one. An indented line behind it, as of pydantic, belongs to it."""
    found = ""
    for number, line in enumerate(lines):
        sentence = _PREFIX.sub("", line)
        if _EXCEPTION.match(sentence) and not _CONSEQUENCE.search(sentence):
            following = _PREFIX.sub("", lines[number + 1]) if number + 1 < len(lines) else ""
            more = f" {following.strip()}" if following.startswith("  ") else ""
            found = f"{sentence}{more}"
    return found[:LONGEST]
