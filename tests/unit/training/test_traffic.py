"""Labelled traffic: what is read, and the sentence for what cannot be."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from heterofleet.router.openai import Message
from heterofleet.training import traffic

ROWS = 60


def csv_of(header: str, *rows: str) -> str:
    return "\n".join((header, *rows)) + "\n"


def plain(**changed: str) -> str:
    """Sixty rows `prompt,enough,task`, one of which is changed: its key names the line, as in line_7."""
    rows = [f"prompt {number},{number % 2},t{number % 3}" for number in range(ROWS)]
    for key, row in changed.items():
        rows[int(key.removeprefix("line_")) - 2] = row
    return csv_of("prompt,enough,task", *rows)


def scored(header: str = "task,question,a,b,L", row: str = "t,q {n},0.{d},1,0.9") -> str:
    return csv_of(header, *(row.format(n=number, d=number % 10) for number in range(ROWS)))


def json_of(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def read(text: str, *, lines_of_json: bool = False) -> traffic.Traffic:
    return traffic.read(text, lines_of_json=lines_of_json, small=("a", "b"), large=("L",))


def test_plain_rows_take_the_large_model_for_always_enough() -> None:
    found = read(plain())
    assert [request.messages for request in found.requests[:2]] == [
        (Message("user", "prompt 0"),),
        (Message("user", "prompt 1"),),
    ]
    assert found.tasks[:4] == ("t0", "t1", "t2", "t0")
    assert found.target.tolist() == [0.0, 1.0] * (ROWS // 2)
    assert found.large.tolist() == [[1.0]] * ROWS


def test_a_small_model_is_enough_from_half_the_score_on_and_the_share_of_them_is_learned() -> None:
    found = read(scored())
    assert found.small[:2].tolist() == [[0.0, 1.0], [0.1, 1.0]]
    assert found.target[:10].tolist() == [0.5] * 5 + [1.0] * 5
    assert found.large.tolist() == [[0.9]] * ROWS


def test_json_rows_may_hold_whole_requests() -> None:
    body = {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u\u2028"}], "tools": [{}]}
    found = read(json_of([{"request": body, "enough": n % 2 == 0} for n in range(ROWS)]), lines_of_json=True)
    assert found.requests[0].messages == (Message("system", "s"), Message("user", "u\u2028"))
    assert found.requests[0].fields["tools"] == [{}]
    assert (found.tasks, found.target[:2].tolist()) == ((), [1.0, 0.0])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "there are no rows"),
        ("prompt,enough\n", "there are no rows"),
        (csv_of("prompt,enough", "a,1", "b,0"), "there are 2 rows; at least 50 are needed to learn anything"),
        (plain().replace(",0,", ",1,"), "the small model was always enough, or never: there is nothing to tell apart"),
        (plain(line_7="p,maybe,t"), "line 7: enough must be 0 or 1, not 'maybe'"),
        (plain(line_7="p,nan,t"), "line 7: enough must be 0 or 1, not 'nan'"),
        (plain(line_7="p,,t"), "line 7: enough must be 0 or 1, not what stands there"),
        (plain(line_7=" ,1,t"), "line 7: prompt must be a text that is not empty"),
        (plain(line_7="p,1"), "line 7: it has not as many values as there are columns"),
        (plain(line_7="p,1,t,x"), "line 7: it has not as many values as there are columns"),
        (plain(line_7='"p"x,1,t'), "line 7: no CSV (',' expected after '\"'); long prompts fit JSON lines"),
        (scored(row="t,q,nan,1,1"), "line 2: a must be a score between 0 and 1, not 'nan'"),
        (scored(row="t,q,0,1.5,1"), "line 2: b must be a score between 0 and 1, not '1.5'"),
        (scored(row="t,q,0,1,high"), "line 2: L must be a score between 0 and 1, not 'high'"),
        (
            scored(header="task,question,a,c,L"),
            "it has no column b: rows are prompt, enough and perhaps task, or question, task and a score for each"
            " model; it has task, question, a, c, L",
        ),
    ],
)
def test_csv_of_which_nothing_can_be_learned_gets_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(traffic.InvalidTraffic) as refused:
        read(text)
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "line 2: no JSON ("),
        ("[1]", "line 2: a row must be a JSON object"),
        ('{"prompt": 5, "enough": 1}', "line 2: prompt must be a text that is not empty"),
        ('{"prompt": "p", "enough": [1]}', "line 2: enough must be 0 or 1, not [1]"),
        ('{"prompt": "p"}', "line 2: enough must be 0 or 1, not None"),
    ],
)
def test_json_of_which_nothing_can_be_learned_gets_a_sentence(line: str, sentence: str) -> None:
    with pytest.raises(traffic.InvalidTraffic) as refused:
        read('{"prompt": "p", "enough": 1}\n' + line, lines_of_json=True)
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ("hello", "line 1: request must be the body of a chat request, as an object"),
        ({"messages": []}, "line 1: messages must be a list with at least one message"),
    ],
)
def test_a_request_that_the_router_would_refuse_is_refused(request_: object, sentence: str) -> None:
    with pytest.raises(traffic.InvalidTraffic) as refused:
        read(json_of([{"request": request_, "enough": 1}]), lines_of_json=True)
    assert str(refused.value) == sentence


def test_labels_of_every_form_are_read() -> None:
    labels = [0, 1, False, True, "0", "1", "false", "True", 0.0, 1.0] * 6
    found = read(json_of([{"prompt": "p", "enough": label} for label in labels]), lines_of_json=True)
    assert np.array_equal(found.target, [0.0, 1.0] * 30)
