"""The official `openai` client against a whole router: what it asks is answered, what fails is its own exception."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from router.engines import STREAM_HEAD, delta, piece, writes
from router.operations import engine
from router.running import until
from router.site import Site, site, status

MESSAGES = [{"role": "user", "content": "Hi"}]


def asked(made: Site, key: str = "none") -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"http://127.0.0.1:{made.router.port}/v1", api_key=key, max_retries=0)


@pytest.fixture
async def made(tmp_path) -> AsyncIterator[Site]:
    async with site(tmp_path, [engine], [engine]) as found:
        yield found


async def test_a_chat_is_answered_whole_and_streamed(made):
    async with asked(made) as client:
        whole_answer = await client.chat.completions.create(model="act", messages=MESSAGES)
        stream = await client.chat.completions.create(model="plan", messages=MESSAGES, stream=True)
        pieces = [chunk async for chunk in stream]
    assert (whole_answer.choices[0].message.content, whole_answer.usage.total_tokens) == ("hello", 10)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in pieces) == "hello"
    assert [chunk.usage for chunk in pieces] == [None] * len(pieces)


async def test_a_stream_that_asks_for_its_usage_gets_it(made):
    async with asked(made) as client:
        stream = await client.chat.completions.create(
            model="act", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        usages = [chunk.usage.total_tokens async for chunk in stream if chunk.usage is not None]
    assert usages == [10]


async def test_completions_are_answered_whole_and_streamed(made):
    async with asked(made) as client:
        completion = await client.completions.create(model="act", prompt="Hi")
        stream = await client.completions.create(model="act", prompt="Hi", stream=True)
        pieces = [chunk.choices[0].text async for chunk in stream if chunk.choices]
    assert (completion.choices[0].text, "".join(pieces)) == ("hello", "hello")


async def test_responses_are_answered_whole_and_streamed(made):
    async with asked(made) as client:
        response = await client.responses.create(model="act", input="Hi")
        stream = await client.responses.create(model="act", input="Hi", stream=True)
        events = [event async for event in stream]
    assert response.output_text == "hello"
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "hello"
    assert events[-1].type == "response.completed"


async def test_embeddings_are_answered(made):
    async with asked(made) as client:
        with pytest.raises(openai.NotFoundError, match=r"name it in router\.embeddings"):
            await client.embeddings.create(model="bge", input="Hi")
        await made.says(embeddings={"endpoints": [made.small[0].key], "model": "bge"})
        found = await client.embeddings.create(model="bge", input="Hi", encoding_format="float")
    assert found.data[0].embedding == [0.5, -1.0]


async def test_models_are_listed_and_found(made):
    async with asked(made) as client:
        listed = [model.id async for model in client.models.list()]
        one = await client.models.retrieve("auto")
    assert ("auto" in listed, one.owned_by) == (True, "chat")


async def test_headers_say_what_was_decided(made):
    async with asked(made) as client:
        raw = await client.chat.completions.with_raw_response.create(
            model="auto", messages=MESSAGES, extra_headers={"x-heterofleet-class": "plan", "x-request-id": "mine"}
        )
    assert (raw.headers["x-heterofleet-tier"], raw.request_id) == ("large", "mine")
    assert raw.parse().choices[0].message.content == "hello"


async def test_the_client_that_waits_in_a_thread_is_answered_too(made):
    def ask() -> tuple[str | None, str, list[str]]:
        with OpenAI(base_url=f"http://127.0.0.1:{made.router.port}/v1", api_key="none", max_retries=0) as client:
            chat = client.chat.completions.create(model="act", messages=MESSAGES)
            with client.chat.completions.create(model="act", messages=MESSAGES, stream=True) as stream:
                said = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
            return chat.choices[0].message.content, said, [model.id for model in client.models.list()]

    content, said, models = await asyncio.to_thread(ask)
    assert (content, said, "auto" in models) == ("hello", "hello", True)


async def test_a_client_that_leaves_its_stream_ends_the_engines_work(tmp_path):
    async def slowly(_received, writer):
        writer.write(STREAM_HEAD + piece(delta("Once")))
        await asyncio.Event().wait()

    async with site(tmp_path, [slowly]) as made, asked(made) as client:
        stream = await client.chat.completions.create(model="act", messages=MESSAGES, stream=True)
        async for _ in stream:
            break
        await stream.close()
        await until(lambda: made.small[0].gone == 1)


Ask = Callable[[AsyncOpenAI], Any]


def chat(model: str = "act", **more: Any) -> Ask:
    return lambda client: client.chat.completions.create(model=model, messages=MESSAGES, **more)


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (chat("nobody"), openai.NotFoundError),
        (lambda client: client.models.retrieve("nobody"), openai.NotFoundError),
        (chat(extra_body={"messages": []}), openai.BadRequestError),
        (chat(extra_body={"stream": "yes"}), openai.BadRequestError),
        (
            lambda client: client.responses.create(model="act", input="Hi", previous_response_id="r"),
            openai.BadRequestError,
        ),
        (lambda client: client.files.list(), openai.NotFoundError),
        (chat(extra_body={"messages": [{"role": "user", "content": "x" * 2000}]}), openai.APIStatusError),
    ],
)
async def test_what_the_router_refuses_is_an_exception_of_its_client(tmp_path, ask, error):
    async with site(tmp_path, [engine], limits={"maxBodyBytes": 1024}) as made, asked(made) as client:
        with pytest.raises(error) as raised:
            await ask(client)
        assert raised.value.type == ("not_found_error" if raised.value.code == "model_not_found" else
                                     "invalid_request_error")  # fmt: skip
        assert made.small[0].received == []


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (400, openai.BadRequestError),
        (403, openai.InternalServerError),  # It refuses the key of the router, not of the client.
        (422, openai.UnprocessableEntityError),
        (429, openai.InternalServerError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
async def test_what_engines_refuse_or_cannot_is_an_exception_of_the_client(tmp_path, code, error):
    policy = {"retry": {"attempts": 0}, "fallback": {"largeForSmall": False, "cached": False}}
    async with site(tmp_path, [status(code)], **policy) as made, asked(made) as client:
        with pytest.raises(error):
            await chat()(client)


async def test_a_wrong_key_is_an_exception_of_the_client(tmp_path):
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "blue").write_text(hashlib.sha256(b"sesame").hexdigest())
    async with site(tmp_path, [engine], auth={"keysSecret": "keys"}) as made:
        async with asked(made, "sesame") as client:
            assert (await chat()(client)).choices[0].message.content == "hello"
        async with asked(made, "wrong") as client:
            for ask in (chat(), lambda client: client.models.retrieve("auto")):
                with pytest.raises(openai.AuthenticationError):
                    await ask(client)


async def test_a_full_queue_is_an_exception_of_the_client_with_the_time_to_come_again(tmp_path):
    async with site(tmp_path, queue={"maxRequests": 0}) as made, asked(made) as client:
        with pytest.raises(openai.RateLimitError) as raised:
            await chat()(client)
        assert int(raised.value.response.headers["retry-after"]) >= 1


async def test_a_stream_that_breaks_is_an_exception_of_the_client(tmp_path):
    breaks = writes(STREAM_HEAD, piece(delta("Once")), piece(delta("upon")[:9]), close=True)
    async with site(tmp_path, [breaks]) as made, asked(made) as client:
        stream = await client.chat.completions.create(model="act", messages=MESSAGES, stream=True)
        first = await anext(stream)
        with pytest.raises(openai.APIError) as raised:
            await anext(stream)
        assert first.choices[0].delta.content == "Once"
        assert "closed early" in raised.value.message
        await stream.close()
