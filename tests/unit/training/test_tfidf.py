"""The rival that reads words."""

import numpy as np
import orjson

from heterofleet.router import openai
from heterofleet.training import tfidf


def requests(*texts: str) -> list[openai.Request]:
    bodies = ({"model": "auto", "messages": [{"role": "user", "content": text}]} for text in texts)
    return [openai.parse(openai.Operation.CHAT, orjson.dumps(body)) for body in bodies]


def test_a_word_that_tells_the_labels_apart_is_learned() -> None:
    counted = tfidf.words(requests(*["an easy one", "a hard one"] * 20, "Easy?", "HARD!", "unheard of"))
    target = np.array([1.0, 0.0] * 20 + [1.0, 0.0, 0.0])
    easy, hard, unknown = tfidf.scores(counted, target, np.arange(40), np.arange(40, 43))
    assert easy > 0.55
    assert hard < 0.45
    assert 0.49 < unknown < 0.51


def test_some_rows_are_numbered_in_the_order_asked_for() -> None:
    counted = tfidf.words(requests("a a b", "c", "b"))
    some = counted.of(np.array([2, 0]))
    b = counted.bucket[counted.row == 2][0]
    words = zip(some.row.tolist(), some.bucket.tolist(), some.times.tolist(), strict=True)
    assert some.rows == 2
    assert sorted((row, times) for row, bucket, times in words if bucket == b) == [(0, 1.0), (1, 1.0)]
