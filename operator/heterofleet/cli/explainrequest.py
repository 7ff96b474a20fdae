"""`heterofleet explain-request`: what a router did with one request, read from its access log.

Needs no cluster: the log comes from a file or a pipe. Lines that are no JSON, or of others, are passed over.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from heterofleet.cli import output, requestsentences
from heterofleet.cli.errors import CliError, UsageError

_STDIN = "-"


def run(options: argparse.Namespace) -> int:
    lines = list(_of(options.request, _read(options.log)))
    if not lines:
        raise CliError(f"the log has no line of request {options.request}: its id is in the response, as x-request-id")
    if options.output == "text":
        print("\n".join(requestsentences.explanation(lines)))
    else:
        output.dump(options.output, lines)
    return 0


def _read(log: str) -> Iterator[str]:
    if log == _STDIN:
        if sys.stdin.isatty():
            raise UsageError("name a log with --log, or pipe one in: kubectl logs deploy/FLEET-router | heterofleet …")
        yield from sys.stdin
        return
    try:
        with Path(log).open(encoding="utf-8", errors="replace") as file:
            yield from file
    except OSError as exc:
        raise UsageError(f"{log}: {exc.strerror}") from exc


def _of(request: str, lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The entries of one request. kubectl puts a pod's name before a line where it is asked to."""
    for line in lines:
        if request not in line:
            continue
        try:
            entry = json.loads(line[line.index("{") :])
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("id") == request:
            yield entry
