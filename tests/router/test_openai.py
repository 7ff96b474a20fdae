import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.router import openai
from heterofleet.router.openai import PATHS, InvalidRequest, Message, Operation

CHAT, COMPLETIONS, RESPONSES, EMBEDDINGS = Operation


def parse(operation: Operation = CHAT, **fields):
    return openai.parse(operation, json.dumps({"model": "act", **fields}).encode())


@pytest.mark.parametrize(
    ("operation", "fields", "messages"),
    [
        (CHAT, {"messages": [{"role": "user", "content": "Hi"}]}, [Message("user", "Hi")]),
        (
            CHAT,
            {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]},
            [Message("system", "Be brief."), Message("user", "Hi")],
        ),
        (
            CHAT,
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"},
                                                       {"type": "text", "text": "b"}]}]},
            [Message("user", "a\nb")],
        ),
        (CHAT, {"messages": [{"role": "assistant", "content": None, "tool_calls": []}]}, [Message("assistant", "")]),
        (COMPLETIONS, {"prompt": "Once"}, [Message("user", "Once")]),
        (COMPLETIONS, {"prompt": ["Once", "Twice"]}, [Message("user", "Once\nTwice")]),
        (COMPLETIONS, {"prompt": [1, 2, 3]}, [Message("user", "")]),
        (EMBEDDINGS, {"input": ["a", "b"]}, [Message("user", "a\nb")]),
        (RESPONSES, {"input": "Hi"}, [Message("user", "Hi")]),
        (RESPONSES, {"instructions": "Terse.", "input": "Hi"}, [Message("system", "Terse."), Message("user", "Hi")]),
        (
            RESPONSES,
            {"input": [{"role": "user", "content": "Hi"}, {"type": "function_call_output", "output": "4"}]},
            [Message("user", "Hi"), Message("tool", "4")],
        ),
    ],
)  # fmt: skip
def test_what_is_asked_is_read_from_each_operations_own_place(operation, fields, messages):
    request = parse(operation, **fields)
    assert list(request.messages) == messages
    assert request.prompt_characters == sum(len(message.text) for message in messages)


@pytest.mark.parametrize(
    ("operation", "body", "sentence", "param"),
    [
        (CHAT, b"", "the body is not valid JSON", None),
        (CHAT, b'{"model":"act","messages":[}', "the body is not valid JSON", None),
        (CHAT, b"[]", "the body must be a JSON object", None),
        (CHAT, b"null", "the body must be a JSON object", None),
        (CHAT, b'{"model":"\xff"}', "the body is not valid JSON", None),
        (CHAT, b'{"model":"\\ud800","messages":[]}', "the body is not valid JSON", None),
        (CHAT, b"[" * 100_000, "the body is not valid JSON", None),
        (CHAT, b'{"messages":[]}', "model is missing", "model"),
        (CHAT, b'{"model":""}', "model is missing", "model"),
        (CHAT, b'{"model":7}', "model is missing", "model"),
        (CHAT, b'{"model":"act","stream":"yes"}', "stream must be true or false", "stream"),
        (CHAT, b'{"model":"act","stream":1}', "stream must be true or false", "stream"),
        (CHAT, b'{"model":"act"}', "messages must be a list", "messages"),
        (CHAT, b'{"model":"act","messages":[]}', "messages must be a list", "messages"),
        (CHAT, b'{"model":"act","messages":{"0":1}}', "messages must be a list", "messages"),
        (CHAT, b'{"model":"act","messages":["Hi"]}', "messages[0] must be an object", "messages[0]"),
        (CHAT, b'{"model":"act","messages":[{"content":"Hi"}]}', "messages[0] must be an object", "messages[0]"),
        (
            CHAT,
            b'{"model":"act","messages":[{"role":"user","content":7}]}',
            "messages[0].content must be a text or a list of parts",
            "messages[0].content",
        ),
        (COMPLETIONS, b'{"model":"act"}', "prompt must be a text", "prompt"),
        (COMPLETIONS, b'{"model":"act","prompt":[]}', "prompt must be a text", "prompt"),
        (EMBEDDINGS, b'{"model":"act","input":null}', "input must be a text", "input"),
        (RESPONSES, b'{"model":"act"}', "input must be a text", "input"),
        (RESPONSES, b'{"model":"act","input":["Hi"]}', "input[0] must be an object", "input[0]"),
        (
            RESPONSES,
            b'{"model":"act","input":"Hi","previous_response_id":"r"}',
            "previous_response_id is not supported",
            "previous_response_id",
        ),
        (RESPONSES, b'{"model":"act","input":"Hi","background":true}', "background is not supported", "background"),
    ],
)
def test_what_cannot_be_routed_is_refused_with_the_sentence_that_mends_it(operation, body, sentence, param):
    with pytest.raises(InvalidRequest) as refused:
        openai.parse(operation, body)
    assert refused.value.message.startswith(sentence)
    assert (refused.value.status, refused.value.kind, refused.value.param) == (400, "invalid_request_error", param)


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": "hot"},
        {"max_tokens": -1},
        {"tools": 7},
        {"metadata": []},
        {"stream_options": True},
        {"unknown": {"deep": [1]}},
        {"stream": None},
    ],
)
def test_what_decisions_do_not_need_is_left_to_the_engine(fields):
    request = parse(messages=[{"role": "user", "content": "Hi"}], **fields)
    assert (request.max_tokens, request.wants_usage, dict(request.metadata), request.stream) == (None, False, {}, False)


@pytest.mark.parametrize(
    ("fields", "most"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 7),
        ({"max_output_tokens": 9}, 9),
        ({"max_tokens": True}, None),
        ({"max_tokens": 5.0}, None),
        ({"max_tokens": 0}, 0),
    ],
)
def test_the_longest_answer_is_known_by_each_of_its_names(fields, most):
    assert parse(messages=[{"role": "user"}], **fields).max_tokens == most


def test_a_body_is_kept_as_it_came():
    body = b' {"model" : "act","messages":[{"role":"user","content":"\\u00e9"}], "x": 1.50 }'
    request = openai.parse(CHAT, body)
    assert (request.body, request.model, request.messages) == (body, "act", (Message("user", "é"),))


def test_the_paths_are_those_of_the_operations_and_no_others():
    assert dict(PATHS) == {
        "/v1/chat/completions": CHAT,
        "/v1/completions": COMPLETIONS,
        "/v1/responses": RESPONSES,
        "/v1/embeddings": EMBEDDINGS,
    }


def test_an_error_has_openais_envelope():
    error = {"message": "no", "type": "server_error", "param": "x", "code": None}
    assert orjson.loads(openai.error_body("no", "server_error", param="x")) == {"error": error}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)
KEYS = ("model", "messages", "prompt", "input", "stream", "max_tokens", "metadata", "stream_options", "instructions",
        "background", "previous_response_id")  # fmt: skip


@given(
    st.sampled_from(Operation),
    st.binary() | st.dictionaries(st.sampled_from(KEYS), JSON).map(lambda f: json.dumps(f).encode()),
)
def test_whatever_comes_is_a_request_or_is_refused(operation, body):
    try:
        request = openai.parse(operation, body)
    except InvalidRequest as exc:
        refused = exc
    else:
        assert request.prompt_characters == sum(len(message.text) for message in request.messages)
        assert isinstance(request.metadata, dict)
        return
    assert (refused.status, bool(refused.message)) == (400, True)
