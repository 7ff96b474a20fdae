"""What clients ask: a seeded mix of classes, paths, lengths and manners, the same for the same seed.

Most asks are sound. Some have a key, a model or a body that must be refused, and some clients leave before the end.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

from heterofleet.api.labels import Tier
from soak import fleet

CHAT: Final = "/v1/chat/completions"
COMPLETIONS: Final = "/v1/completions"
RESPONSES: Final = "/v1/responses"

_WORDS: Final = (
    "river", "bridge", "harvest", "lantern", "compass", "orchard", "glacier", "parcel", "mirror", "anthem", "quarry",
)  # fmt: skip
_TOPICS: Final = 40
_REPEATED: Final = 12
"""Questions that are asked again and again at temperature 0, so that the exact cache has something to give."""


@dataclass(frozen=True)
class Leaving:
    """When a client leaves: after so many seconds, or after so many pieces of its stream."""

    seconds: float | None = None
    pieces: int | None = None


@dataclass(frozen=True)
class Ask:
    """One request. `refused` is the status that it must get where it is not sound; `keeps`: the connection stays."""

    number: int
    path: str
    key: str
    fields: dict[str, Any]
    body: bytes
    refused: int | None = None
    leaving: Leaving | None = None
    keeps: bool = False

    @property
    def id(self) -> str:
        return f"soak-{self.number}"

    @property
    def stream(self) -> bool:
        return self.fields.get("stream") is True

    @property
    def wants_usage(self) -> bool:
        """Whether its answer tells the usage: a whole one does, a stream where it was asked for."""
        asked = self.fields.get("stream_options", {}).get("include_usage") is True
        return not self.stream or asked or self.path == RESPONSES


def endless(seed: int) -> Iterator[Ask]:
    """All asks of a seed."""
    chance = random.Random(f"{seed}/asks")
    number = 0
    while True:
        number += 1
        yield _ask(number, chance)


def _ask(number: int, chance: random.Random) -> Ask:
    path = chance.choices((CHAT, COMPLETIONS, RESPONSES), (75, 15, 10))[0]
    key = chance.choice(sorted(fleet.KEYS.values()))
    fields = _repeated(chance) if path == CHAT and chance.random() < 0.08 else _fresh(path, number, chance)
    stream = chance.random() < 0.5
    if stream:
        fields["stream"] = True
        if path != RESPONSES and chance.random() < 0.5:
            fields["stream_options"] = {"include_usage": True}
    keeps = chance.random() < 0.6
    unsound = chance.random()
    if unsound < 0.03:
        return _unsound(number, path, key, fields, unsound)
    leaving = _leaving(stream, chance) if chance.random() < 0.06 else None
    return Ask(number, path, key, fields, orjson.dumps(fields), leaving=leaving, keeps=keeps)


def _unsound(number: int, path: str, key: str, fields: dict[str, Any], drawn: float) -> Ask:
    if drawn < 0.01:
        return Ask(number, path, fleet.STRANGER, fields, orjson.dumps(fields), refused=401)
    if drawn < 0.02:
        fields = {**fields, "model": "nobody"}
        return Ask(number, path, key, fields, orjson.dumps(fields), refused=404, keeps=True)
    return Ask(number, path, key, fields, orjson.dumps(fields)[:-2], refused=400, keeps=True)


def _leaving(stream: bool, chance: random.Random) -> Leaving:
    if stream and chance.random() < 0.5:
        return Leaving(pieces=chance.randint(1, 8))
    return Leaving(seconds=chance.uniform(0.0, 0.6))


def _repeated(chance: random.Random) -> dict[str, Any]:
    which = chance.randrange(_REPEATED)
    content = f"Say again what question {which} is answered by."
    return {"model": "act", "temperature": 0, "messages": [{"role": "user", "content": content}]}


def _fresh(path: str, number: int, chance: random.Random) -> dict[str, Any]:
    pinned, free = tuple(fleet.SERVED.values()), ("plan", "act", "auto", fleet.FLEET)
    fields: dict[str, Any] = {"model": chance.choices((*free, *pinned), (25, 40, 22, 3, 5, 5))[0]}
    question = f"Question {number}: {_prose(chance, *_question_words(chance))} {_length(chance)}".strip()
    limit = chance.choice((None, None, 16, 32, 64))
    if path == COMPLETIONS:
        fields |= {"prompt": question, "max_tokens": limit or 24}
    elif path == RESPONSES:
        fields |= {"input": question} | ({"max_output_tokens": limit} if limit else {})
    else:
        fields |= {"messages": _turns(question, chance)} | ({"max_tokens": limit} if limit else {})
        if limit is None and chance.random() < 0.04:
            fields["response_format"] = {"type": "json_object"}
    return fields


def _question_words(chance: random.Random) -> tuple[int, int]:
    return (200, 1200) if chance.random() < 0.08 else (4, 40)


def _length(chance: random.Random) -> str:
    """A mark for the played model; without one it says as much as it mostly does."""
    drawn = chance.random()
    if drawn < 0.06:
        return f"[[tokens={chance.randint(60, 160)}]]"
    return f"[[tokens={chance.randint(3, 24)}]]" if drawn < 0.5 else ""


def _turns(question: str, chance: random.Random) -> list[dict[str, str]]:
    """A conversation; those about one topic begin alike, so that they have a home in the large tier."""
    last = {"role": "user", "content": question}
    if chance.random() < 0.6:
        return [last]
    topic = chance.randrange(_TOPICS)
    before = _prose(random.Random(topic), 120, 240)
    return [{"role": "system", "content": before}, {"role": "assistant", "content": "Go on."}, last]


def _prose(chance: random.Random, fewest: int, most: int) -> str:
    return " ".join(chance.choices(_WORDS, k=chance.randint(fewest, most)))


def pinned(ask: Ask) -> Tier | None:
    """The tier that the ask names, where it names one."""
    return next((tier for tier, name in fleet.SERVED.items() if ask.fields.get("model") == name), None)
