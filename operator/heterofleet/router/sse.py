"""Server-sent events: the pieces of a stream, and the data that one carries.

Below all that reads or changes streams. Line ends are any of the standard's three; data may come cut anywhere.
"""

import re
from typing import Final

LONGEST_EVENT: Final = 4_194_304
"""Bytes of one event beyond which nobody waits for its end."""

# The groups are atomic, or the \r and the \n of one line end would count as two.
_EVENT_END: Final = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")


class Splitter:
    """Puts a stream together again, event by event, each with the empty line that ends it."""

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The events that are complete; the beginning of the next is held. One that is too long is given in pieces."""
        data = self.held + data
        events = []
        end = 0
        for boundary in _EVENT_END.finditer(data):
            events.append(data[end : boundary.end()])
            end = boundary.end()
        self.held = data[end:]
        if len(self.held) > LONGEST_EVENT:
            events.append(self.flush())
        return events

    def flush(self) -> bytes:
        """What is held when the stream ends."""
        rest, self.held = self.held, b""
        return rest


def payload(event: bytes) -> bytes:
    """The data of one event, its lines joined."""
    lines = (line[5:] for line in _LINE_END.split(event) if line.startswith(b"data:"))
    return b"\n".join(line[1:] if line.startswith(b" ") else line for line in lines)


def with_payload(event: bytes, data: bytes) -> bytes:
    """The event with other data, which is JSON: its line ends are white space between values."""
    lines = [line for line in _LINE_END.split(event) if line and not line.startswith(b"data")]
    return b"\n".join([*lines, b"data: " + data.replace(b"\n", b" ")]) + b"\n\n"
