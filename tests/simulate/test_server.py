"""The simulated engine over real sockets, as the official client, a probe and Prometheus see it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import aiohttp
import openai
import pytest
from prometheus_client import parser

from heterofleet.simulate import profile, text
from heterofleet.simulate.api import Settings
from heterofleet.simulate.faults import Fault, Faults
from heterofleet.simulate.profile import Profile
from heterofleet.simulate.server import EngineServer

TINY = profile.load()["tiny"]
SLOW = replace(TINY, step_seconds=60.0)
"""Its first token does not come within a test."""


class Bench:
    """An engine with those who ask it."""

    def __init__(self, server: EngineServer, http: aiohttp.ClientSession) -> None:
        self.server, self.http = server, http
        self.url = f"http://127.0.0.1:{server.address[1]}"

    def ask(self, path: str, **body: Any) -> "aiohttp.client._RequestContextManager":
        return self.http.post(f"{self.url}{path}", json={"model": "small", **body})

    async def chat(self, content: str, **body: Any) -> dict[str, Any]:
        messages = [{"role": "user", "content": content}]
        async with self.ask("/v1/chat/completions", messages=messages, **body) as response:
            assert response.status == 200, await response.text()
            found: dict[str, Any] = await response.json()
            return found

    async def metrics(self) -> dict[tuple[str, str], float]:
        """Samples by name and the value of the label that is no name of the engine."""
        async with self.http.get(f"{self.url}/metrics") as response:
            families = parser.text_string_to_metric_families(await response.text())
            known = {"engine": "0", "model_name": "small"}
            found = {}
            for family in families:
                for sample in family.samples:
                    labels = {k: v for k, v in sample.labels.items() if known.get(k) != v}
                    found[sample.name, ",".join(labels.values())] = sample.value
            return found


Opener = Callable[..., Awaitable[Bench]]


@pytest.fixture
async def bench() -> AsyncIterator[Opener]:
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())

        async def start(made: Profile = TINY, **settings: Any) -> Bench:
            server = EngineServer(made, ["small", "auto", "act"], Settings(**settings))
            await server.start()
            stack.push_async_callback(server.stop)
            return Bench(server, http)

        yield start


@pytest.fixture
async def client(bench: Opener) -> AsyncIterator[openai.AsyncOpenAI]:
    engine = await bench()
    async with openai.AsyncOpenAI(base_url=f"{engine.url}/v1", api_key="any", max_retries=0) as found:
        yield found


HELLO: Any = [{"role": "user", "content": "Where is Oslo? [[text=Oslo is in Norway.]]"}]


async def test_chat_answers_whole_and_streamed_alike(client: openai.AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model="act", messages=HELLO)
    assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == ("Oslo is in Norway.", "stop")
    assert whole.model == "act"
    assert whole.usage is not None
    stream = await client.chat.completions.create(
        model="act", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Oslo is in Norway."
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices == []
    usage = chunks[-1].usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (whole.usage.prompt_tokens, 5)


async def test_usage_comes_in_a_stream_only_when_asked_for(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(model="act", messages=HELLO, stream=True)
    assert {chunk.usage for chunk in [chunk async for chunk in stream]} == {None}


async def test_completions_take_several_prompts_and_choices(client: openai.AsyncOpenAI) -> None:
    done = await client.completions.create(model="small", prompt=["[[tokens=3]] a", "[[tokens=3]] b"], n=2, logprobs=1)
    assert [choice.index for choice in done.choices] == [0, 1, 2, 3]
    assert len({choice.text for choice in done.choices}) == 4
    assert done.usage is not None
    assert done.usage.completion_tokens == 12
    logprobs = done.choices[0].logprobs
    assert logprobs is not None
    assert (len(logprobs.tokens or []), logprobs.text_offset) == (3, [0, 4, 8])
    stream = await client.completions.create(model="small", prompt="[[tokens=3]] a", stream=True)
    assert "".join([chunk.choices[0].text async for chunk in stream]) == done.choices[0].text


async def test_completions_are_sixteen_tokens_unless_more_are_asked_for(client: openai.AsyncOpenAI) -> None:
    done = await client.completions.create(model="small", prompt="[[tokens=40]]")
    assert (done.choices[0].finish_reason, done.usage and done.usage.completion_tokens) == ("length", 16)


async def test_responses_answer_whole_and_as_events(client: openai.AsyncOpenAI) -> None:
    whole = await client.responses.create(model="small", input="Hello [[text=Good day.]]", instructions="Be brief.")
    assert (whole.output_text, whole.status) == ("Good day.", "completed")
    events = [e async for e in await client.responses.create(model="small", input="[[text=Good day.]]", stream=True)]
    # How many deltas there are is a matter of how busy this machine is.
    assert list(dict.fromkeys(event.type for event in events)) == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
        "response.output_text.delta", "response.output_text.done", "response.content_part.done",
        "response.output_item.done", "response.completed",
    ]  # fmt: skip
    assert [event.sequence_number for event in events] == list(range(len(events)))
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == "Good day."


async def test_embeddings_are_near_for_similar_texts(client: openai.AsyncOpenAI) -> None:
    made = await client.embeddings.create(model="small", input=["the old map", "the old maps", "seven whales"])
    one, near, far = (item.embedding for item in made.data)
    assert sum(a * b for a, b in zip(one, near, strict=True)) > 0.6 > sum(a * b for a, b in zip(one, far, strict=True))
    plain = await client.embeddings.create(model="small", input="the old map", encoding_format="float")
    assert plain.data[0].embedding == pytest.approx(one, abs=1e-6)


async def test_every_served_name_is_listed(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["small", "auto", "act"]


async def test_an_answer_has_the_form_that_is_asked_for(client: openai.AsyncOpenAI) -> None:
    schema = {"type": "object", "properties": {"steps": {"type": "integer"}}, "required": ["steps"]}
    named = {"type": "json_schema", "json_schema": {"name": "plan", "schema": schema}}
    forms: list[Any] = [{"type": "json_object"}, named]
    asked: Any = [{"role": "user", "content": "Plan it."}]
    said = [await client.chat.completions.create(model="small", messages=asked, response_format=form) for form in forms]
    assert [answer.choices[0].message.content for answer in said] == ['{"answer":"text"}', '{"steps":0}']


async def test_log_probabilities_come_with_each_token(client: openai.AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model="small", messages=HELLO, logprobs=True, top_logprobs=2)
    given = whole.choices[0].logprobs
    assert given is not None
    tokens = given.content or []
    assert ["".join(token.token for token in tokens), len(tokens[0].top_logprobs)] == ["Oslo is in Norway.", 2]
    stream = await client.chat.completions.create(model="small", messages=HELLO, logprobs=True, stream=True)
    streamed = [c.choices[0].logprobs async for c in stream]
    assert [t.logprob for part in streamed if part for t in part.content or []] == [token.logprob for token in tokens]


async def test_errors_are_those_of_vllm(client: openai.AsyncOpenAI, bench: Opener) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.chat.completions.create(model="gpt", messages=HELLO)
    assert unknown.value.body == {
        "message": "The model `gpt` does not exist.", "type": "NotFoundError", "param": "model", "code": 404,
    }  # fmt: skip
    with pytest.raises(openai.BadRequestError, match="maximum context length is 32768 tokens"):
        await client.chat.completions.create(model="small", messages=HELLO, max_tokens=32_768)
    with pytest.raises(openai.BadRequestError, match="messages: List should have at least 1 item"):
        await client.chat.completions.create(model="small", messages=[])


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"[]", b'"text"', b'{"model": 3}', b"\xff\xfe", b'{"model":"small","messages":"hi"}',
        b'{"model":"small","messages":[3]}', b'{"model":"small","messages":[{"role":"user","content":3}]}',
        b'{"model":"small","messages":[{"content":"a"}],"max_tokens":"many"}',
        b'{"model":"small","messages":[{"content":"a"}],"max_tokens":0}',
        b'{"model":"small","messages":[{"content":"a"}],"n":0}',
        b'{"model":"small","messages":[{"content":"a"}],"stop":[1]}',
        b'{"model":"small","messages":[{"content":"a"}],"stream":"yes"}',
    ],
)  # fmt: skip
async def test_what_is_wrong_in_a_body_gets_400_or_404_in_the_envelope(bench: Opener, body: bytes) -> None:
    engine = await bench()
    async with engine.http.post(f"{engine.url}/v1/chat/completions", data=body) as response:
        assert response.status in (400, 404)
        assert set((await response.json())["error"]) == {"message", "type", "param", "code"}


async def test_keys_guard_the_api_and_nothing_else(bench: Opener) -> None:
    engine = await bench(api_keys=("current", "next"))
    async with openai.AsyncOpenAI(base_url=f"{engine.url}/v1", api_key="next", max_retries=0) as client:
        await client.chat.completions.create(model="small", messages=HELLO)
        with pytest.raises(openai.AuthenticationError):
            await client.with_options(api_key="old").chat.completions.create(model="small", messages=HELLO)
    async with engine.http.get(f"{engine.url}/metrics") as response:
        assert response.status == 200


async def test_the_request_id_is_kept(bench: Opener) -> None:
    engine = await bench()
    for body, status in (({}, 200), ({"model": "gpt"}, 404)):
        headers = {"X-Request-Id": "abc-1"}
        request = {"model": "small", "messages": HELLO, **body}
        async with engine.http.post(f"{engine.url}/v1/chat/completions", json=request, headers=headers) as response:
            assert (response.status, response.headers["X-Request-Id"]) == (status, "abc-1")


async def test_other_paths_and_methods_are_refused(bench: Opener) -> None:
    engine = await bench()
    found = []
    for method, path in (("GET", "/nowhere"), ("GET", "/v1/completions"), ("POST", "/sim/faults"), ("GET", "/ping")):
        async with engine.http.request(method, f"{engine.url}{path}") as response:
            found.append(response.status)
    assert found == [404, 405, 404, 200]


async def test_metrics_count_what_was_done(bench: Opener) -> None:
    engine = await bench()
    shared = "the same beginning of two conversations, which is long enough for blocks " * 4
    await engine.chat(f"{shared} [[tokens=10]]")
    await engine.chat(f"{shared} [[tokens=7]]", max_tokens=3)
    found = await engine.metrics()
    assert found["vllm:generation_tokens_total", ""] == 13
    assert found["vllm:request_success_total", "stop"] == 1
    assert found["vllm:request_success_total", "length"] == 1
    assert found["vllm:time_to_first_token_seconds_count", ""] == 2
    assert found["vllm:inter_token_latency_seconds_count", ""] == 9 + 2
    assert found["vllm:e2e_request_latency_seconds_bucket", "+Inf"] == 2
    assert found["vllm:prefix_cache_queries_total", ""] == found["vllm:prompt_tokens_total", ""] > 150
    assert 0 < found["vllm:prefix_cache_hits_total", ""] < found["vllm:prompt_tokens_total", ""] / 2
    assert found["vllm:num_requests_running", ""] == found["vllm:kv_cache_usage_perc", ""] == 0


async def test_the_next_turn_finds_prompt_and_answer_of_this_one_in_the_cache(bench: Opener) -> None:
    engine = await bench()
    turns = [{"role": "user", "content": "Tell me a long story of the sea. [[tokens=200]]"}]
    async with engine.ask("/v1/chat/completions", messages=turns) as response:
        first = await response.json()
    turns += [first["choices"][0]["message"], {"role": "user", "content": "Go on."}]
    async with engine.ask("/v1/chat/completions", messages=turns) as response:
        second = await response.json()
    known = first["usage"]["total_tokens"] // 16 * 16
    assert known - 32 <= second["usage"]["prompt_tokens_details"]["cached_tokens"] <= known


async def until_running(engine: Bench, number: int) -> None:
    """Let the loop turn until so many requests are in the model."""
    for _ in range(100_000):
        load = engine.server.engine.load()
        if load.running + load.waiting == number:
            return
        await asyncio.sleep(0)
    pytest.fail(f"{load} instead of {number} requests")


async def test_a_client_that_leaves_takes_its_request_along(bench: Opener) -> None:
    engine = await bench(replace(TINY, max_num_seqs=1, max_num_batched_tokens=1, step_seconds=30.0))
    leaving = [asyncio.create_task(engine.chat("hello there")) for _ in range(3)]
    await until_running(engine, 3)
    for task in leaving:
        task.cancel()
    await asyncio.gather(*leaving, return_exceptions=True)
    # The one that runs is held until its step ends, those that wait are gone at once.
    await until_running(engine, 1)


async def test_a_client_that_leaves_just_when_its_token_comes_is_no_error_of_the_engine(
    bench: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    engine = await bench(SLOW)
    asking = asyncio.create_task(outcome(engine, stream=True))
    await until_running(engine, 1)
    engine.server.set_faults(Faults(slow=1e-12))
    assert engine.server.engine.idle  # All tokens are there, and whoever writes them is about to run.
    for connection in engine.server._web.connections:
        assert connection.transport is not None
        connection.transport.close()
    assert await asking == "closed"
    assert [record.name for record in caplog.records if record.name.startswith("aiohttp")] == []


async def test_a_drain_finishes_what_runs_and_refuses_what_comes(bench: Opener) -> None:
    engine = await bench(replace(TINY, step_seconds=0.05))
    running = asyncio.create_task(engine.chat("[[tokens=4]]"))
    await until_running(engine, 1)
    drained = asyncio.create_task(engine.server.drain(10))
    await asyncio.sleep(0)
    async with engine.ask("/v1/chat/completions", messages=HELLO) as response:
        assert (response.status, (await response.json())["error"]["type"]) == (500, "InternalServerError")
    async with engine.http.get(f"{engine.url}/health") as response:
        assert response.status == 200
    assert (await running)["usage"]["completion_tokens"] == 4
    assert await drained


async def test_a_drain_ends_with_its_time(bench: Opener) -> None:
    engine = await bench(SLOW)
    running = asyncio.create_task(engine.chat("hello"))
    await until_running(engine, 1)
    assert not await engine.server.drain(0.01)
    with pytest.raises(aiohttp.ClientError):
        await running


async def test_an_engine_that_loads_is_not_healthy_and_generates_nothing(bench: Opener) -> None:
    engine = await bench(load_seconds=3600.0)
    async with engine.http.get(f"{engine.url}/health") as response:
        assert response.status == 503
    async with engine.ask("/v1/chat/completions", messages=HELLO) as response:
        assert response.status == 500


async def test_time_may_run_faster(bench: Opener) -> None:
    engine = await bench(replace(TINY, step_seconds=10.0), time_scale=10_000.0, load_seconds=0.0)
    assert (await engine.chat("[[tokens=9]]"))["usage"]["completion_tokens"] == 9


async def set_faults(engine: Bench, **faults: Any) -> None:
    async with engine.http.post(f"{engine.url}/sim/faults", json=faults) as response:
        assert response.status == 200, await response.text()


async def outcome(engine: Bench, *, stream: bool) -> str:
    """What a client makes of one answer."""
    messages = [{"role": "user", "content": "[[tokens=20]]"}]
    try:
        async with engine.ask("/v1/chat/completions", messages=messages, stream=stream) as response:
            body = await response.read()
    except aiohttp.ServerDisconnectedError:
        return "closed"
    except aiohttp.ClientPayloadError:
        return "cut"
    if response.status != 200:
        return str(response.status)
    if stream and not body.endswith(b"data: [DONE]\n\n"):
        return "broken"
    if not stream and not body.endswith(b"}"):
        return "broken"
    return "huge" if len(body) > 50_000 else "fine"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault.ERROR, "500"), (Fault.BUSY, "429"), (Fault.CLOSE, "closed"), (Fault.CUT, "cut"), (Fault.STALL, "cut"),
        (Fault.GARBAGE, "broken"), (Fault.BAD_SSE, "broken"), (Fault.HUGE, "huge"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
async def test_each_fault_is_what_it_says_and_ends_when_healed(
    bench: Opener, fault: Fault, expected: str, stream: bool
) -> None:
    engine = await bench(allow_faults=True, time_scale=100.0)  # A huge answer takes as long as its tokens.
    await set_faults(engine, shares={fault: 1}, stall_seconds=0.01, huge_bytes=100_000)
    assert await outcome(engine, stream=stream) == expected
    async with engine.http.delete(f"{engine.url}/sim/faults") as response:
        assert response.status == 200
    assert await outcome(engine, stream=stream) == "fine"
    assert engine.server.engine.idle


async def test_a_mute_engine_is_healthy_and_cannot_generate(bench: Opener) -> None:
    engine = await bench(allow_faults=True)
    await set_faults(engine, mute=True)
    async with engine.http.get(f"{engine.url}/health") as response:
        assert response.status == 200
    assert await outcome(engine, stream=False) == "500"
    assert (await engine.metrics())["vllm:request_success_total", "error"] == 1


async def test_a_slow_engine_runs_on_at_its_rate(bench: Opener) -> None:
    engine = await bench(replace(TINY, step_seconds=1e6), allow_faults=True)
    await set_faults(engine, slow=1e-9)
    assert await outcome(engine, stream=True) == "fine"


async def test_an_engine_that_refuses_connections_comes_back_at_its_address(bench: Opener) -> None:
    engine = await bench(allow_faults=True)
    engine.server.set_faults(Faults(refuse_seconds=0.05))
    await asyncio.sleep(0)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*engine.server.address)
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection(*engine.server.address)
            except ConnectionRefusedError:
                continue
            writer.close()
            await writer.wait_closed()
            break


async def test_the_prefix_cache_can_be_emptied(bench: Opener) -> None:
    engine = await bench(allow_faults=True)
    await engine.chat("the same beginning " * 20)
    assert engine.server.engine.load().kept_tokens > 0
    async with engine.http.post(f"{engine.url}/reset_prefix_cache") as response:
        assert response.status == 200
    assert engine.server.engine.load().kept_tokens == 0


async def test_many_engines_live_in_one_process_and_answer_alike(bench: Opener) -> None:
    engines = [await bench() for _ in range(20)]
    answers = await asyncio.gather(*(engine.chat("[[tokens=5]] hello") for engine in engines))
    assert len({answer["choices"][0]["message"]["content"] for answer in answers}) == 1
    assert len({engine.server.address for engine in engines}) == 20


async def test_streams_of_several_choices_carry_each_whole(bench: Opener) -> None:
    engine = await bench()
    whole = await engine.chat("hello", n=3)
    async with openai.AsyncOpenAI(base_url=f"{engine.url}/v1", api_key="any") as client:
        asked: Any = [{"role": "user", "content": "hello"}]
        stream = await client.chat.completions.create(model="small", messages=asked, n=3, stream=True)
        said = ["", "", ""]
        async for chunk in stream:
            for choice in chunk.choices:
                said[choice.index] += choice.delta.content or ""
    assert said == [choice["message"]["content"] for choice in whole["choices"]]
    assert whole["usage"]["completion_tokens"] == sum(map(text.count, said))
