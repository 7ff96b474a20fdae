"""What a played model says: a function of the prompt alone, so that all engines answer a question alike.

A token is four characters, and all made-up words are three letters and a space: so what is said is readable, and counts
exactly as many tokens as were meant. The prefix cache's blocks are hashes of the same text, so the next turn of a
conversation, which begins with this prompt and this answer, finds both.

Marks in the last message steer the answer:

    [[tokens=37]]     as long as that, unless max_tokens is less      [[empty]]     nothing
    [[text=...]]      exactly this                                    [[refuse]]    a refusal
    [[empty=NAME]], [[refuse=NAME]]   only of engines whose own name (the first that they serve) is NAME
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import xxhash

TOKEN_CHARACTERS: Final = 4

REFUSAL: Final = "I'm sorry, but I can't help with that."

_VOCABULARY: Final = """
    act add age aid aim air all and any apt arc are art ask bay bed big bit bow box bud bus but buy can cap car cut
    day dew did dig dot dry due ear eat end era eve eye fan far few fig fit fix fly fog for fox fun gap gem get got
    gum had has hat hay her hid him his hop hot how hub hue ice ink inn ion its jam jar jet job joy key kin kit lab
    lap law lay led leg let lid lie lip log lot low map may men met mix mud net new nib nor not now nut oak oar oat
    odd off oil old one opt orb ore our out owl own pad pan par pat paw pay pea peg pen per pet pie pin pit ply pod
    pot put ram ran raw ray red rib rid rim rod row rub run rye sad saw say sea see set she shy sit six ski sky son
    sow spa sum sun tab tag tan tap tax tea ten the tie tin tip toe ton too top toy try tub two urn use van vat via
    vow war was wax way web wet who why win wit won yam yes yet you zip
"""

_WORDS: Final = tuple(f"{word} " for word in _VOCABULARY.split())

_MARK: Final = re.compile(r"\[\[(tokens|text|empty|refuse)(?:=(.*?))?\]\]", re.DOTALL)


class Manner(NamedTuple):
    """How an engine answers: its own name, the share of prompts that it answers well, and how much it says."""

    name: str
    quality: float = 1.0
    mean_tokens: int = 48


class Wish(NamedTuple):
    """What a request asks of its answer: `most` and `least` tokens, and `form`, a text that a schema asks for."""

    most: int
    least: int = 0
    to_the_end: bool = False
    stops: Sequence[str] = ()
    form: str | None = None


class Answer(NamedTuple):
    """An answer in tokens. `finish` is stop or length, `stopped_by` the stop text that ended it."""

    tokens: tuple[str, ...]
    finish: str
    stopped_by: str | None = None
    good: bool = True

    @property
    def text(self) -> str:
        return "".join(self.tokens)


def count(text: str) -> int:
    """How many tokens a text has; even an empty one has its end."""
    return max(1, -(-len(text) // TOKEN_CHARACTERS))


def split(text: str) -> tuple[str, ...]:
    """The tokens of a text."""
    step = TOKEN_CHARACTERS
    return tuple(text[start : start + step] for start in range(0, len(text), step)) or ("",)


def blocks(text: str, block_tokens: int) -> tuple[int, ...]:
    """The chained hashes of the full blocks of a text: two texts share those of their common beginning."""
    size = block_tokens * TOKEN_CHARACTERS
    return tuple(_chained(text, size))


def _chained(text: str, size: int) -> Iterator[int]:
    before = 0
    for start in range(0, len(text) - size + 1, size):
        before = xxhash.xxh3_64_intdigest(text[start : start + size].encode(errors="surrogatepass"), before)
        yield before


def answer(prompt: str, last: str, choice: int, wish: Wish, manner: Manner) -> Answer:
    """The answer to a prompt, whose last message is `last`; each choice of one request is another answer."""
    said, good = _said(prompt, last, choice, wish, manner)
    found = min(((said.find(stop), stop) for stop in wish.stops if stop and stop in said), default=None)
    tokens = split(said if found is None else said[: found[0]])
    if len(tokens) > wish.most:
        return Answer(tokens[: wish.most], "length", None, good)
    return Answer(tokens, "stop", found and found[1], good)


def _said(prompt: str, last: str, choice: int, wish: Wish, manner: Manner) -> tuple[str, bool]:
    marks = dict(_MARK.findall(last)) if "[[" in last else {}
    if marks.get("empty") in ("", manner.name):
        return "", False
    if marks.get("refuse") in ("", manner.name):
        return REFUSAL, False
    if "text" in marks:
        return marks["text"], True
    seed = xxhash.xxh3_64_intdigest(prompt.encode(errors="surrogatepass"), choice)
    if (seed >> 11) / 2**53 >= manner.quality:
        return ("" if seed & 1 else REFUSAL), False
    if wish.form is not None:
        return wish.form, True
    if wish.to_the_end:
        return _words(seed, wish.most), True
    asked = marks.get("tokens", "")
    # Between half and one and a half of the mean, so that engines are not all busy for the same time.
    own = manner.mean_tokens // 2 + (seed >> 3) % (manner.mean_tokens + 1)
    return _words(seed, max(1, wish.least, int(asked) if asked.isdecimal() else own)), True


def _words(seed: int, number: int) -> str:
    number = min(number, 1_000_000)
    drawn = hashlib.shake_128(seed.to_bytes(8, "little")).digest(number)
    words = len(_WORDS)
    said = "".join([_WORDS[byte % words] for byte in drawn])
    return f"{said[:-1]}."


def logprobs(answer: Answer) -> list[float]:
    """How sure the model was of each token: near 0 for a good answer, far below for a bad one."""
    base, width = (-0.02, 0.3) if answer.good else (-2.0, 1.0)
    found = []
    for position, token in enumerate(answer.tokens):
        drawn = xxhash.xxh3_64_intdigest(token.encode(errors="surrogatepass"), position) & 0xFFFF
        found.append(round(base - width * drawn / 0xFFFF, 4))
    return found
