"""Judges what came of an ask: right, failed as policy names it, or wrong, which no soak may see once.

right        the answer of the tier that the headers name, whole; or the refusal that an unsound ask must get
named        no place in the queue, with the time to come again; no engine that answered, with the sentence and
             where engines were in trouble; a stream cut off by an engine in trouble, with the event that says so;
             a bad answer for want of a better one; a router that was killed under the ask
wrong        everything else
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

from heterofleet.api.labels import Tier
from soak import answers, asks, expected
from soak.answers import Answer, Unreadable
from soak.heard import Heard, How
from soak.history import BREAKS_STREAMS, Trouble


class Kind(StrEnum):
    """What an ask came to; the value stands in the report."""

    RIGHT = "right"
    CACHED = "cached"
    REFUSED = "refused as unsound"
    LEFT = "left by its client"
    BAD_STREAM = "a bad answer as a stream"
    FLAWED = "a bad answer, for want of a better one"
    NO_PLACE = "no place in the queue"
    NO_ANSWER = "no engine answered"
    CUT_OFF = "cut off by an engine"
    ROUTER_KILLED = "router killed"
    WRONG = "wrong"


NAMED: Final = frozenset({Kind.FLAWED, Kind.NO_PLACE, Kind.NO_ANSWER, Kind.CUT_OFF, Kind.ROUTER_KILLED})
_SENTENCES: Final = {
    502: re.compile(
        r"the engines gave no answer that can be passed on, (at the only attempt|after \d+ attempts) \(.+\)"
    ),
    503: re.compile(
        r"no engine of this fleet could take the request, (as none works|at the only attempt|after \d+ attempts): .+"
    ),
    504: re.compile(r"no engine answered in time, (at the only attempt|after \d+ attempts): .+"),
}


class Verdict(NamedTuple):
    """`sentence` says what is wrong, or what a named failure said."""

    kind: Kind
    sentence: str = ""


class Known(Protocol):
    """What the soak knows of the time in which an ask was under way."""

    @property
    def tiers(self) -> Mapping[str, Tier]:
        """The tier of each engine, by its key."""
        ...

    def troubles(self, engine: str | None, since: float, until: float) -> set[Trouble]:
        """What the engine went through, or any of them for None."""
        ...

    def killed(self, life: str, before: float) -> bool:
        """Whether this process of a router was killed before: it dies a moment later."""
        ...


def judge(heard: Heard, known: Known) -> Verdict:
    """The verdict on one ask."""
    if heard.how is How.LEFT:
        return Verdict(Kind.LEFT)
    if heard.how is not How.WHOLE:
        if heard.how is How.BROKEN and known.killed(heard.life, heard.ended):
            return Verdict(Kind.ROUTER_KILLED, heard.detail)
        return _wrong(f"{heard.how}: {heard.detail or 'nothing came'}")
    try:
        return _wrongly_told(heard, known) or _answered(heard, known)
    except Unreadable as exc:
        return _wrong(f"{heard.status}: {exc}")


def _answered(heard: Heard, known: Known) -> Verdict:
    if heard.ask.refused is not None:
        return _refused(heard)
    if heard.status == 200:
        return _given(heard, known)
    sentence = answers.error_of(heard.body)
    wanted = _SENTENCES.get(heard.status)
    after_attempts = wanted is not None and wanted.fullmatch(sentence) is not None
    if heard.status in (429, 503) and "retry-after" in heard.headers and not after_attempts:
        return Verdict(Kind.NO_PLACE, f"{heard.status} {sentence}")
    if not after_attempts:
        return _wrong(f"{heard.status} {sentence}")
    if not known.troubles(None, heard.began, heard.ended):
        return _wrong(f"{heard.status} {sentence}, and no engine was in trouble")
    return Verdict(Kind.NO_ANSWER, f"{heard.status} {sentence}")


def _refused(heard: Heard) -> Verdict:
    sentence = answers.error_of(heard.body)
    if heard.status != heard.ask.refused:
        return _wrong(f"{heard.status} instead of {heard.ask.refused}: {sentence}")
    return Verdict(Kind.REFUSED)


def _wrongly_told(heard: Heard, known: Known) -> Verdict | None:
    """What is wrong with the head of an answer; None where nothing is."""
    if heard.headers.get("x-request-id") != heard.ask.id:
        return _wrong(f"another request's id: {heard.headers.get('x-request-id')!r}")
    if heard.status != 200:
        return None
    if heard.ask.refused is not None:
        return _wrong("an unsound request was answered")
    model, class_ = heard.ask.fields["model"], heard.header("class")
    if class_ not in ("plan", "act") or (model in ("plan", "act") and class_ != model):
        return _wrong(f"a request for {model} was told class {class_!r}")
    if heard.header("cache"):
        return None
    named, tier = known.tiers.get(heard.header("endpoint")), heard.header("tier")
    if named is None or named != tier or not heard.header("attempts").isdigit() or heard.header("attempts") == "0":
        return _wrong(f"headers that do not fit: {dict(heard.headers)}")
    wanted = asks.pinned(heard.ask)
    return _wrong(f"{model} was answered by the {tier} tier") if wanted not in (None, named) else None


def _given(heard: Heard, known: Known) -> Verdict:
    said = answers.read(heard.ask, heard.body)
    if heard.header("cache"):
        right = said.text == expected.answer(heard.ask, Tier.SMALL).text
        return Verdict(Kind.CACHED) if right else _wrong(f"another answer was kept: {said.text[:120]!r}")
    if said.error is not None:
        return _cut(heard, said, known)
    tier = Tier(heard.header("tier"))
    wanted = expected.answer(heard.ask, tier)
    if said.text != wanted.text:
        return _wrong(f"the {tier} tier's answer is {wanted.text[:120]!r}, not {said.text[:120]!r}")
    usage = (wanted.prompt_tokens, wanted.completion_tokens) if heard.ask.wants_usage else None
    if said.usage != usage or said.finish is None:
        return _wrong(f"usage {said.usage} instead of {usage}, finish {said.finish}")
    if wanted.good:
        return Verdict(Kind.RIGHT)
    if heard.ask.stream:
        return Verdict(Kind.BAD_STREAM)
    return Verdict(Kind.FLAWED) if _could_be_flawed(heard, known) else _wrong("a bad answer was not judged")


def _could_be_flawed(heard: Heard, known: Known) -> bool:
    """A bad answer is given where its client pinned the tier, after a better one was asked for, or in want of engines.

    Only attempts that reached for an engine count: where the next tier has none that can be asked, the bad answer of
    the only attempt is the best there is.
    """
    if asks.pinned(heard.ask) is Tier.SMALL or int(heard.header("attempts")) > 1:
        return True
    return bool(known.troubles(None, heard.began, heard.ended))


def _cut(heard: Heard, said: Answer, known: Known) -> Verdict:
    """A stream that ended with an error: of an engine in trouble, and right as far as it went."""
    engine = heard.header("endpoint")
    troubles = known.troubles(engine, heard.began, heard.ended) & BREAKS_STREAMS
    if not troubles:
        return _wrong(f"cut off, and {engine} was not in trouble: {said.error}")
    if said.garbled and Trouble.GARBAGE not in troubles and Trouble.BAD_SSE not in troubles:
        return _wrong(f"garbled, and {engine} wrote no garbage: {heard.body[-200:]!r}")
    if not expected.answer(heard.ask, Tier(heard.header("tier"))).text.startswith(said.text):
        return _wrong(f"cut off, and wrong before: {said.text[:120]!r}")
    return Verdict(Kind.CUT_OFF, f"{said.error} ({', '.join(sorted(troubles))})")


def _wrong(sentence: str) -> Verdict:
    return Verdict(Kind.WRONG, sentence)
