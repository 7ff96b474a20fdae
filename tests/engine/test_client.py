"""The official `openai` client, through the router, to real engines of both tiers."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai import AsyncOpenAI

from engine.conftest import Engines
from engine.routers import EngineRouter

MESSAGES: Any = [{"role": "user", "content": "Say something."}]
LENGTH = 8
SCHEMA = {"type": "object", "properties": {"go": {"enum": ["yes", "no"]}}, "required": ["go"]}
FORMAT: Any = {"type": "json_schema", "json_schema": {"name": "go", "schema": SCHEMA, "strict": True}}


@pytest.fixture
async def router(engines: Engines, tmp_path) -> AsyncIterator[EngineRouter]:
    async with EngineRouter(tmp_path, engines) as made:
        yield await made.ready()


@pytest.fixture
async def client(router: EngineRouter) -> AsyncIterator[AsyncOpenAI]:
    async with router.client() as made:
        yield made


@pytest.mark.parametrize(
    ("model", "tier"),
    [("plan", "large"), ("chat-large", "large"), ("act", "small"), ("chat-small", "small")],
)
async def test_a_name_leads_to_its_tier_and_the_engine_tells_its_own(client: AsyncOpenAI, model: str, tier: str):
    raw = await client.chat.completions.with_raw_response.create(model=model, messages=MESSAGES, max_tokens=LENGTH)
    answer = raw.parse()
    assert (raw.headers["x-heterofleet-tier"], answer.model) == (tier, f"chat-{tier}")
    assert answer.usage is not None
    assert answer.usage.completion_tokens <= LENGTH


@pytest.mark.parametrize(("hint", "tier"), [("plan", "large"), ("act", "small")])
@pytest.mark.parametrize("model", ["auto", "chat"])
async def test_a_hint_decides_where_the_name_does_not(client: AsyncOpenAI, model: str, hint: str, tier: str):
    raw = await client.chat.completions.with_raw_response.create(
        model=model, messages=MESSAGES, max_tokens=LENGTH, extra_headers={"x-heterofleet-class": hint}
    )
    assert (raw.headers["x-heterofleet-class"], raw.parse().model) == (hint, f"chat-{tier}")


async def test_a_chat_that_is_streamed_says_what_a_whole_one_says(client: AsyncOpenAI):
    asked: dict[str, Any] = {"model": "plan", "messages": MESSAGES, "max_tokens": LENGTH, "temperature": 0}
    whole = await client.chat.completions.create(**asked)
    stream = await client.chat.completions.create(**asked, stream=True)
    pieces = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in pieces) == whole.choices[0].message.content
    assert pieces[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert {chunk.usage for chunk in pieces} == {None}


async def test_a_stream_that_asks_for_its_usage_ends_with_it(client: AsyncOpenAI):
    stream = await client.chat.completions.create(
        model="act", messages=MESSAGES, max_tokens=LENGTH, stream=True, stream_options={"include_usage": True},
        extra_body={"ignore_eos": True},
    )  # fmt: skip
    usages = [chunk.usage.completion_tokens async for chunk in stream if chunk.usage is not None]
    assert usages == [LENGTH]


async def test_a_completion_that_is_streamed_says_what_a_whole_one_says(client: AsyncOpenAI):
    asked: dict[str, Any] = {"model": "act", "prompt": "Say", "max_tokens": LENGTH, "temperature": 0, "logprobs": 1}
    whole = await client.completions.create(**asked)
    stream = await client.completions.create(**asked, stream=True)
    pieces = [chunk async for chunk in stream if chunk.choices]
    assert "".join(chunk.choices[0].text for chunk in pieces) == whole.choices[0].text
    assert whole.choices[0].logprobs is not None
    likely = [
        value for chunk in pieces if chunk.choices[0].logprobs for value in chunk.choices[0].logprobs.tokens or ()
    ]
    assert likely == whole.choices[0].logprobs.tokens


async def test_a_response_that_is_streamed_says_what_a_whole_one_says(client: AsyncOpenAI):
    asked: dict[str, Any] = {"model": "plan", "input": "Say something.", "max_output_tokens": 16, "temperature": 0}
    whole = await client.responses.create(**asked)
    stream = await client.responses.create(**asked, stream=True)
    events = [event async for event in stream]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text
    assert (events[-1].type, whole.model) == ("response.completed", "chat-large")


async def test_log_probabilities_that_were_asked_for_come(client: AsyncOpenAI):
    answer = await client.chat.completions.create(
        model="act", messages=MESSAGES, max_tokens=LENGTH, logprobs=True, top_logprobs=2
    )
    assert answer.choices[0].logprobs is not None
    assert [len(token.top_logprobs) for token in answer.choices[0].logprobs.content or ()] != []


@pytest.mark.parametrize("model", ["plan", "act"])
async def test_an_answer_that_must_follow_a_schema_does(client: AsyncOpenAI, model: str):
    answer = await client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=64, response_format=FORMAT)
    assert json.loads(answer.choices[0].message.content or "")["go"] in ("yes", "no")


async def test_an_engine_knows_a_request_by_the_id_of_its_client(client: AsyncOpenAI):
    raw = await client.chat.completions.with_raw_response.create(
        model="act", messages=MESSAGES, max_tokens=1, extra_headers={"x-request-id": "mine"}
    )
    assert (raw.request_id, raw.parse().id) == ("mine", "chatcmpl-mine")


async def test_what_an_engine_refuses_reaches_the_client_as_it_said_it(client: AsyncOpenAI, router: EngineRouter):
    refused = await router.ask(temperature=-1)
    assert (refused.status, json.loads(refused.body)["error"]["param"]) == (400, "temperature")


async def test_tokens_are_counted_as_engines_count_them(client: AsyncOpenAI, router: EngineRouter):
    answers = [
        await client.chat.completions.create(model="act", messages=MESSAGES, max_tokens=LENGTH) for _ in range(3)
    ]
    stream = await client.chat.completions.create(model="act", messages=MESSAGES, max_tokens=LENGTH, stream=True,
                                                  extra_body={"ignore_eos": True})  # fmt: skip
    async for _ in stream:
        pass
    used = sum(answer.usage.completion_tokens for answer in answers if answer.usage is not None)
    assert (await router.metrics("completion_tokens_total"))["act,small"] == used + LENGTH
