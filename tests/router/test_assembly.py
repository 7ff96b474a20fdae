import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.router import assembly, replay
from heterofleet.router.assembly import NotWhole
from heterofleet.router.openai import Operation
from router.engines import DONE, chat, delta, event, usage

CALLS = [
    {"id": "a", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}},
    {"id": "b", "type": "function", "function": {"name": "go", "arguments": "{}"}},
]


def answer(message: dict, **more) -> dict:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop", "logprobs": None}
    counts = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    return {"id": "c", "created": 1, "model": "m", "object": "chat.completion", "choices": [choice], "usage": counts,
            **more}  # fmt: skip


@pytest.mark.parametrize(
    "message",
    [{"content": "Hello"}, {"content": None, "tool_calls": CALLS}, {"content": "x", "reasoning_content": "y"},
     {"content": None, "refusal": "No."}],
)  # fmt: skip
def test_a_replayed_answer_is_assembled_to_itself(message):
    whole = answer(message)
    stream = b"".join(replay.as_stream(json.dumps(whole).encode(), Operation.CHAT, include_usage=True))
    assert json.loads(assembly.whole(Operation.CHAT, stream)) == whole


@given(st.lists(st.text(), max_size=8))
def test_texts_grow_by_their_pieces(texts):
    stream = b"".join(delta(text) for text in texts) + delta("", "length") + usage(7, 3) + DONE
    found = json.loads(assembly.whole(Operation.CHAT, stream))
    assert found == {**json.loads(chat("".join(texts), finish="length"))}


def test_calls_of_tools_grow_by_their_index():
    def said(*calls: dict) -> bytes:
        return event({"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": list(calls)}}]})

    stream = (
        said({"index": 0, "id": "a", "type": "function", "function": {"name": "look", "arguments": ""}})
        + said({"index": 0, "function": {"arguments": '{"at"'}})
        + said({"index": 1, "id": "b", "type": "function", "function": {"name": "go", "arguments": "{}"}})
        + said({"index": 0, "function": {"arguments": ": 1}"}})
        + DONE
    )
    message = json.loads(assembly.whole(Operation.CHAT, stream))["choices"][0]["message"]
    assert message == {"role": "assistant", "content": None, "tool_calls": CALLS}


def test_choices_are_told_apart_and_log_probabilities_grow():
    def said(index: int, text: str, logprob: float) -> bytes:
        logprobs = {"tokens": [text], "token_logprobs": [logprob]}
        return event({"id": "c", "choices": [{"index": index, "text": text, "logprobs": logprobs}]})

    stream = said(1, "x", -1.0) + said(0, "a", -2.0) + said(0, "b", -3.0) + DONE
    assert json.loads(assembly.whole(Operation.COMPLETIONS, stream))["choices"] == [
        {"index": 0, "text": "ab", "finish_reason": None,
         "logprobs": {"tokens": ["a", "b"], "token_logprobs": [-2.0, -3.0]}},
        {"index": 1, "text": "x", "finish_reason": None, "logprobs": {"tokens": ["x"], "token_logprobs": [-1.0]}},
    ]  # fmt: skip


def test_what_only_the_last_chunk_names_of_the_engine_is_kept():
    chunk = {"id": "c", "created": 1, "model": "m", "choices": [{"index": 0, "delta": {"content": "a"}}]}
    last = {**chunk, "choices": [], "system_fingerprint": "vllm-0.32.0"}
    stream = event(chunk) + event(last)
    told = json.loads(assembly.whole(Operation.CHAT, stream))
    assert (told["id"], told["system_fingerprint"]) == ("c", "vllm-0.32.0")


def test_a_response_tells_itself_whole_at_its_end():
    whole = {"id": "r", "status": "completed", "output": [], "usage": {"input_tokens": 1, "output_tokens": 2}}
    stream = b"".join(replay.as_stream(json.dumps(whole).encode(), Operation.RESPONSES, include_usage=False))
    assert json.loads(assembly.whole(Operation.RESPONSES, stream)) == whole


@given(
    st.sampled_from(Operation),
    st.binary() | st.sampled_from([b"data: {}\n\n", b"data: 1\n\n", b'data: {"choices": 1}\n\n']),
)
def test_what_is_no_stream_is_said_to_be_none(operation, data):
    with pytest.raises(NotWhole):
        assembly.whole(operation, data)
