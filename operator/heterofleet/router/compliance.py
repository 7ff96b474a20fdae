"""What may pass: the policy's rules over a text, whole or while it comes. The same for every tier.

Stands before the cache on the way in, and after quality on the way out. Denials are looked for in the text as it came.
Redactions are made from left to right: of all matches the one that begins first counts, of those that begin together
that of the earlier rule, and what stands in its place is not looked at again. So nothing depends on what comes later,
and a stream gives the same text as the whole, if no match is longer than `max_match_characters`:

    a position is decided once max_match_characters + 1 characters from it are known (one more for $ and \\b)
    text leaves up to the first position that is not decided

Patterns are RE2's, which is linear in the text whatever the pattern; one that can match no character at all is refused,
since it would be found everywhere.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import re2

from heterofleet.api.compliance import Compliance, ComplianceAction, ComplianceRule, ComplianceScope

_MEMORY: Final = 2_097_152
"""Bytes that one pattern and its automaton may take; beyond, RE2 refuses the one and does without the other."""
_NEIGHBOURS: Final = (b"", b" ", b"\n", b"aa  \n\na\n a")
"""Texts in which every two kinds of neighbours that ^, $, \\b and \\B tell apart meet."""


class InvalidRule(Exception):
    """A rule whose pattern cannot be used; the sentence says which and why."""


class Redaction(NamedTuple):
    """How often a rule's matches were replaced."""

    rule: str
    times: int


class Result(NamedTuple):
    """What may pass of a text. `denied` is the rule that forbids all of it; then `text` is as it came."""

    text: str
    denied: str | None = None
    redactions: tuple[Redaction, ...] = ()


class _Pattern(NamedTuple):
    name: str
    expression: re2._Regexp
    replacement: bytes


class _Match(NamedTuple):
    """Bytes that a rule replaces."""

    start: int
    end: int
    rule: _Pattern


class Filter:
    """The rules of one direction; false when there is none."""

    __slots__ = ("_denials", "_redactions", "max_match_characters")

    def __init__(self, denials: Sequence[_Pattern], redactions: Sequence[_Pattern], max_match_characters: int) -> None:
        self._denials = tuple(denials)
        self._redactions = tuple(redactions)
        self.max_match_characters = max_match_characters

    def __bool__(self) -> bool:
        return bool(self._denials or self._redactions)

    def check(self, text: str) -> Result:
        """What may pass of a whole text."""
        data = text.encode("utf-8", "replace")
        denied = self.denial(data, 0, len(data))
        if denied is not None:
            return Result(text, denied)
        matches = list(self.matches(data, 0, len(data)))
        if not matches:
            return Result(text)
        redactions = [Redaction(match.rule.name, 1) for match in matches]
        return Result(_replaced(data, 0, matches, len(data)), None, added(redactions))

    def denial(self, data: bytes, start: int, limit: int) -> str | None:
        """The first rule with a match that denies and begins in [start, limit)."""
        for rule in self._denials:
            found = rule.expression.search(data, start)
            if found is not None and found.start() < limit:
                return rule.name
        return None

    def matches(self, data: bytes, start: int, limit: int) -> Iterator[_Match]:
        """The matches to replace that begin in [start, limit), from left to right; none overlaps another."""
        following = [_next(rule, data, start) for rule in self._redactions]
        while True:
            found = min((match for match in following if match is not None), key=lambda m: m.start, default=None)
            if found is None or found.start >= limit:
                return
            yield found
            following = [
                _next(match.rule, data, found.end) if match is not None and match.start < found.end else match
                for match in following
            ]


class Rules(NamedTuple):
    """All rules, compiled once a configuration."""

    prompt: Filter
    answer: Filter

    @classmethod
    def compile(cls, config: Compliance) -> "Rules":
        """Raises InvalidRule."""
        patterns = [(rule, _pattern(rule)) for rule in config.rules]

        def of(scope: ComplianceScope, action: ComplianceAction) -> list[_Pattern]:
            scopes = (scope, ComplianceScope.BOTH)
            return [pattern for rule, pattern in patterns if rule.scope in scopes and rule.action is action]

        prompt, answer = (
            Filter(of(scope, ComplianceAction.DENY), of(scope, ComplianceAction.REDACT), config.max_match_characters)
            for scope in (ComplianceScope.PROMPT, ComplianceScope.ANSWER)
        )
        return cls(prompt, answer)


class StreamFilter:
    """Lets a text through while it comes; holds back at most `max_match_characters` of it."""

    __slots__ = ("_before", "_covered", "_filter", "_redactions", "_text", "denied")

    def __init__(self, rules: Filter) -> None:
        self._filter = rules
        self._text = ""  # From the first position that is not decided.
        self._before = ""  # The character before it, which ^ and \b look at.
        self._covered = 0  # Characters of the text that a replacement already stands for.
        self._redactions: list[Redaction] = []
        self.denied: str | None = None

    @property
    def redactions(self) -> tuple[Redaction, ...]:
        """What was replaced so far."""
        return added(self._redactions)

    def feed(self, delta: str) -> str:
        """What may leave now; once `denied` is set nothing may, and the stream is to end with an error."""
        if self.denied is not None:
            return ""
        self._text += delta
        return self._decide(len(self._text) - self._filter.max_match_characters)

    def flush(self) -> str:
        """What is held when the text has ended."""
        return self._decide(len(self._text))

    def _decide(self, decided: int) -> str:
        """Decides so many positions, and gives the text that they stand for."""
        if decided <= 0:
            return ""
        text = self._before + self._text
        data = text.encode("utf-8", "replace")
        first = len(self._before)
        start, limit = _bytes(text, first, data), _bytes(text, first + decided, data)
        self.denied = self._filter.denial(data, start, limit)
        if self.denied is not None:
            self._text = ""
            return ""
        start = _bytes(text, first + min(self._covered, decided), data)
        matches = list(self._filter.matches(data, _bytes(text, first + self._covered, data), limit))
        self._redactions += [Redaction(match.rule.name, 1) for match in matches]
        leaving = _replaced(data, start, matches, limit)
        end = max(self._covered, len(data[: matches[-1].end].decode("utf-8", "replace")) - first if matches else 0)
        self._covered = max(0, end - decided)
        self._before = self._text[decided - 1]
        self._text = self._text[decided:]
        return leaving


def added(redactions: Sequence[Redaction]) -> tuple[Redaction, ...]:
    """One Redaction a rule, with the sum of its times."""
    sums: dict[str, int] = {}
    for rule, times in redactions:
        sums[rule] = sums.get(rule, 0) + times
    return tuple(Redaction(rule, times) for rule, times in sums.items())


def _pattern(rule: ComplianceRule) -> _Pattern:
    options = re2.Options()
    options.max_mem = _MEMORY
    options.log_errors = False
    options.never_capture = True
    try:
        expression = re2.compile(rule.pattern, options)
    except re2.error as exc:
        why = exc.args[0].decode("utf-8", "replace") if exc.args and isinstance(exc.args[0], bytes) else str(exc)
        raise InvalidRule(f"compliance rule {rule.name}: RE2 does not take its pattern ({why})") from exc
    if any(expression.fullmatch(text, at, at) for text in _NEIGHBOURS for at in range(len(text) + 1)):
        raise InvalidRule(f"compliance rule {rule.name}: its pattern matches where there is nothing to match")
    return _Pattern(rule.name, expression, rule.replacement.encode())


def _next(rule: _Pattern, data: bytes, start: int) -> _Match | None:
    found = rule.expression.search(data, start)
    return _Match(found.start(), found.end(), rule) if found is not None else None


def _replaced(data: bytes, start: int, matches: Sequence[_Match], limit: int) -> str:
    """The text of data[start:limit] with the matches, all of which begin in it, replaced."""
    pieces: list[bytes] = []
    for match in matches:
        pieces += (data[start : match.start], match.rule.replacement)
        start = match.end
    pieces.append(data[start:limit])
    return b"".join(pieces).decode("utf-8", "replace")


def _bytes(text: str, characters: int, data: bytes) -> int:
    """How many bytes of `data`, the text in UTF-8, the first characters take."""
    return characters if len(data) == len(text) else len(text[:characters].encode("utf-8", "replace"))
