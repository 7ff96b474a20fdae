"""What is sent and what engines answer: real questions, cut to sizes, and one answer of about 1 KB for all of them.

The questions are those the classifier is trained on (tests/data/SOURCES.md), so that classes occur as they do in texts
of people. A body is one line of JSON, since the load generator reads them line by line.
"""

import csv
import gzip
import io
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

_QUESTIONS: Final = Path(__file__).resolve().parents[2] / "data" / "routing" / "llmrouter_train.csv.gz"

ANSWER_TEXT: Final = ("The capital of the country lies on a river, and its oldest bridge is of stone. " * 9).strip()
USAGE: Final = {"prompt_tokens": 220, "completion_tokens": 150, "total_tokens": 370}
ANSWER: Final = json.dumps(
    {
        "id": "chatcmpl-7f3a",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "engine",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": ANSWER_TEXT, "tool_calls": []},
                "logprobs": None,
                "finish_reason": "stop",
                "stop_reason": None,
            }
        ],
        "usage": USAGE,
    },
    separators=(",", ":"),
)
"""What every engine says to everything; about 1 KB, in the form of vLLM."""


def questions() -> list[str]:
    """The questions, without those that are too short to be one."""
    csv.field_size_limit(1 << 24)
    with gzip.open(_QUESTIONS) as packed:
        rows = csv.DictReader(io.TextIOWrapper(packed, encoding="utf-8"))
        return [question for row in rows if len(question := " ".join(row["question"].split())) >= 24]


def shuffled(seed: int) -> Iterator[str]:
    """Questions for ever, in an order of the seed's."""
    source = questions()
    chance = random.Random(seed)
    while True:
        chance.shuffle(source)
        yield from source


def text(source: Iterator[str], characters: int) -> str:
    """As many questions as it takes, cut to a length."""
    found = next(source)
    while len(found) < characters:
        found = f"{found} {next(source)}"
    return found[:characters]


def single_questions(model: str, count: int, size: int, seed: int = 1) -> list[str]:
    """Bodies of `size` bytes: a system prompt, and questions of which the last is cut where the size is reached."""
    source = shuffled(seed)
    return [_filled(model, [_said("system", "You are a helpful assistant.")], source, size) for _ in range(count)]


def conversations(model: str, count: int, turns: int, size: int, seed: int = 2) -> list[str]:
    """Bodies of about `size` bytes: `count` conversations, each asked to go on in `turns` ways, in a mixed order.

    Eight applications have system prompts of a quarter of the size; a conversation's own turns are the rest, and only
    the last question differs between the bodies of one conversation.
    """
    source = shuffled(seed)
    systems = [text(source, size // 4) for _ in range(8)]
    found: list[str] = []
    for number in range(count):
        messages = [_said("system", systems[number % len(systems)])]
        while _bytes(_body(model, messages)) < size - 1200:
            messages += (_said("user", text(source, 400)), _said("assistant", text(source, 400)))
        found += (_filled(model, messages, source, size) for _ in range(turns))
    random.Random(seed).shuffle(found)
    return found


def write(bodies: Sequence[str], path: Path) -> Path:
    """One body a line."""
    path.write_text("".join(f"{body}\n" for body in bodies))
    return path


def _said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _body(model: str, messages: Sequence[dict[str, str]]) -> str:
    fields: dict[str, Any] = {"model": model, "messages": messages, "max_tokens": 200, "temperature": 0.7}
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)


def _filled(model: str, before: Sequence[dict[str, str]], source: Iterator[str], size: int) -> str:
    """A body with a question of the user that fills it to `size` bytes; a few less where a character has several."""
    asked = text(source, size - _bytes(_body(model, before)))
    body = _body(model, [*before, _said("user", asked)])
    while (excess := _bytes(body) - size) > 0:
        asked = asked[: -max(1, excess // 4)]
        body = _body(model, [*before, _said("user", asked)])
    return body


def _bytes(body: str) -> int:
    return len(body.encode())
