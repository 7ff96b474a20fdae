"""A streamed answer, noted on its way so that a cache can keep it once it is all there.

Stands in the stream as an edit that changes nothing: after the compliance rules, and before what was asked for on the
router's own account is taken out. So what is kept is what the same request gets that is not streamed, its usage
included. Only streams of requests whose answer may be kept are noted.
"""

from collections.abc import Callable
from typing import Final

from heterofleet.router import answer, assembly, quality, splice
from heterofleet.router.answer import AnswerError
from heterofleet.router.assembly import NotWhole
from heterofleet.router.call import Call
from heterofleet.router.splice import Unspliceable

MOST_BYTES: Final = 8 * 2**20
"""Bytes of a stream beyond which it is not noted: some 40,000 tokens of 200 bytes, longer than what is asked twice."""


class Noted:
    """One stream, passed on to `then`."""

    __slots__ = ("_parts", "_room", "_then")

    def __init__(self, then: Callable[[bytes], bytes]) -> None:
        self._then = then
        self._parts: list[bytes] = []
        self._room = MOST_BYTES

    def feed(self, data: bytes) -> bytes:
        self._room -= len(data)
        if self._room >= 0:
            self._parts.append(data)
        else:
            self._parts.clear()
        return self._then(data)

    def whole(self, call: Call) -> bytes | None:
        """The answer as its engine would have given it whole; None where there is none that is good."""
        if self._room < 0:
            return None
        try:
            body = assembly.whole(call.operation, b"".join(self._parts))
            if call.drops_logprobs:
                body = splice.without_logprobs(call.operation, body)
            said = answer.from_body(call.operation, body)
        except (NotWhole, Unspliceable, AnswerError):
            return None
        # A stream has passed unjudged; what is given again is held to what whole answers are held to.
        config = call.snapshot.policy.quality
        judged = config.enabled and not call.snapshot.lean
        return body if not judged or quality.judge(said, call.asked, config).good else None
