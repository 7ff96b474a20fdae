"""A request's way through a whole router, on real sockets: what reaches an engine, what comes back, what is counted."""

import json

import pytest

from router import running
from router.engines import DONE, LAST, STREAM_HEAD, chat, delta, piece, says, usage, whole, writes
from router.site import sentence, site, status, streamed, text
from router.wire import connected, post

BODY = b' {"model" : "act", "messages":[{"role":"user","content":"H\\u00ef"}], "x":1.50, "x":1e2, "seed":  7 }\n'


async def test_a_body_reaches_its_engine_byte_for_byte(tmp_path):
    async with site(tmp_path, [says("hello")]) as made:
        answer = await made.running.send(post(BODY))
        (received,) = made.small[0].received
        assert (received.path, received.body) == ("/v1/chat/completions", BODY)
        assert (answer.status, text(answer)) == (200, "hello")


async def test_a_key_that_policy_needs_is_all_that_differs_and_what_it_brings_is_taken_out_again(tmp_path):
    asked = BODY.replace(b"{", b'{"stream":true,', 1)
    async with site(tmp_path, [says("hello")]) as made:
        answer = await made.running.send(post(asked))
        (received,) = made.small[0].received
        assert received.body == asked.replace(b"{", b'{"stream_options":{"include_usage":true},', 1)
        assert streamed(answer.body) == "hello"
        assert b"usage" not in answer.body
        assert answer.body.endswith(DONE)


async def test_usage_that_its_client_asked_for_stays(tmp_path):
    async with site(tmp_path, [says("hello")]) as made:
        answer = await made.ask(stream=True, stream_options={"include_usage": True})
        assert usage(7, 3) in answer.body


async def test_an_answer_comes_back_byte_for_byte_with_the_headers_that_say_what_was_decided(tmp_path):
    body = b'{"id":"c","choices":[{"index":0,"message":{"content":"x"},"finish_reason":"stop"}],  "z":1.0}'
    async with site(tmp_path, [writes(whole(200, body, "x-secret: 1"))]) as made:
        answer = await made.ask("act", "x-request-id: mine")
        assert answer.body == body
        assert answer.headers == {
            "content-type": "application/json",
            "content-length": str(len(body)),
            "x-request-id": "mine",
            "x-heterofleet-class": "act",
            "x-heterofleet-tier": "small",
            "x-heterofleet-endpoint": made.small[0].key,
            "x-heterofleet-attempts": "1",
        }


async def test_an_engine_hears_of_its_client_what_it_needs_and_no_more(tmp_path):
    told = (
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate: a=1",
        "x-request-id: mine",
        "authorization: Bearer of-the-client",
        "connection: x-hop",
        "x-hop: 1",
        "te: trailers",
        "proxy-authorization: Basic x",
        "cookie: a=b",
        "x-forwarded-for: 10.0.0.1",
    )
    async with site(tmp_path, [says("hello")]) as made:
        await made.ask("act", *told)
        (received,) = made.small[0].received
        assert received.headers == {
            "host": made.small[0].key,
            "content-type": "application/json",
            "content-length": str(len(running.body("act"))),
            "x-request-id": "mine",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "tracestate": "a=1",
        }


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "é"])
async def test_an_id_that_no_log_could_hold_is_replaced_and_told_to_both(tmp_path, given):
    async with site(tmp_path, [says("hello")]) as made:
        async with connected(made.router.port) as wire:
            wire.send(post(running.body("act"), "x-request-id: ").replace(b"id: \r", b"id: " + given.encode() + b"\r"))
            answer = await wire.answer()
        (received,) = made.small[0].received
        assert answer.headers["x-request-id"] == received.headers["x-request-id"] != given


@pytest.mark.parametrize(
    ("model", "headers", "fields", "expected"),
    [
        ("act", (), {}, ("act", "small")),
        ("plan", (), {}, ("plan", "large")),
        ("chat-large", (), {}, ("act", "large")),
        ("chat-small", ("x-heterofleet-class: plan",), {}, ("plan", "small")),
        ("auto", ("x-heterofleet-class: plan",), {}, ("plan", "large")),
        ("chat", ("x-heterofleet-class: act",), {}, ("act", "small")),
        ("auto", (), {"metadata": {"heterofleet.class": "plan"}}, ("plan", "large")),
    ],
)
async def test_names_and_hints_say_class_and_tier(tmp_path, model, headers, fields, expected):
    async with site(tmp_path, [says("small")], [says("large")]) as made:
        answer = await made.ask(model, *headers, **fields)
        found = (answer.headers["x-heterofleet-class"], answer.headers["x-heterofleet-tier"])
        assert (found[1], text(answer)) == (expected[1], expected[1])
        if headers or fields or model in ("act", "plan"):
            assert found == expected


@pytest.mark.parametrize("code", [400, 404, 422])
@pytest.mark.parametrize("stream", [False, True])
async def test_what_an_engine_refuses_is_its_clients_to_read_and_no_fault(tmp_path, code, stream):
    body = b'{"object":"error","message":"too long","code":%d}' % code
    async with site(tmp_path, [status(code, body)] * 2, breaker={"failures": 1, "probeIdleSeconds": 0}) as made:
        answer = await made.ask(stream=stream)
        assert (answer.status, answer.body) == (code, body)
        assert sum(len(engine.received) for engine in made.small) == 1
        assert all(made.endpoint(engine).breaker.reopen_at is None for engine in made.small)
        assert await made.counts() == {("act", "client_error", "small"): 1.0}


async def test_the_name_that_an_engine_knows_its_model_by_is_put_into_the_body_for_it_alone(tmp_path):
    async with site(tmp_path, [says("hello")]) as made:
        endpoint = {"address": made.small[0].key, "tier": "small", "model": "Qwen/Qwen3-4B"}
        await made.tells({**made.said, "endpoints": [endpoint]})
        await made.running.send(post(BODY))
        assert made.small[0].received[-1].body == BODY.replace(b'"act"', b'"Qwen/Qwen3-4B"')


async def test_every_operation_reaches_its_own_path(tmp_path):
    async def script(received, writer):
        writer.write(whole(200, json.dumps({"path": received.path}).encode()))

    asked = {
        "/v1/chat/completions": running.body("act"),
        "/v1/completions": b'{"model":"act","prompt":"Hi"}',
        "/v1/responses": b'{"model":"act","input":"Hi"}',
    }
    async with site(tmp_path, [script], quality={"enabled": False}) as made:
        for path, body in asked.items():
            answer = await made.running.send(post(body, path=path))
            assert (answer.status, json.loads(answer.body)) == (200, {"path": path})


@pytest.mark.parametrize(
    "path",
    ["/metrics", "/health", "/v1/load_lora_adapter", "/v1/completions/../../metrics", "/", "/v1", "//v1/completions"],
)
async def test_nothing_else_of_an_engine_can_be_reached(tmp_path, path):
    async with site(tmp_path, [says("hello")]) as made:
        answer = await made.running.send(post(b"{}", path=path))
        assert answer.status == 404
        assert made.small[0].received == []


async def test_the_models_are_those_that_may_be_asked_for(tmp_path):
    async with site(tmp_path) as made:
        listed = await made.running.send(b"GET /v1/models HTTP/1.1\r\nhost: r\r\n\r\n")
        names = [model["id"] for model in json.loads(listed.body)["data"]]
        assert sorted(names) == ["act", "auto", "chat", "chat-large", "chat-small", "plan"]
        one = await made.running.send(b"GET /v1/models/plan HTTP/1.1\r\nhost: r\r\n\r\n")
        assert json.loads(one.body) == {"id": "plan", "object": "model", "created": 0, "owned_by": "chat"}
        none = await made.running.send(b"GET /v1/models/nobody HTTP/1.1\r\nhost: r\r\n\r\n")
        assert (none.status, sentence(none)[:38]) == (404, "the model 'nobody' does not exist here")


async def test_metrics_count_exactly_what_was_sent(tmp_path):
    async with site(tmp_path, [says("hello")], [says("deep")]) as made:
        for _ in range(3):
            await made.ask("act")
        await made.ask("plan", stream=True)
        await made.ask("nobody")
        assert await made.counts() == {
            ("act", "ok", "small"): 3.0,
            ("plan", "ok", "large"): 1.0,
            ("none", "client_error", "none"): 1.0,
        }
        assert await made.counts("offered_total") == {("act",): 3.0, ("plan",): 1.0}
        assert await made.counts("prompt_tokens_total") == {("act", "small"): 21.0, ("plan", "large"): 7.0}
        assert await made.counts("completion_tokens_total") == {("act", "small"): 9.0, ("plan", "large"): 3.0}
        assert await made.counts("request_seconds_count") == {("act", "small"): 3.0, ("plan", "large"): 1.0}
        assert await made.counts("time_to_first_token_seconds_count") == {("plan", "large"): 1.0}
        cost = await made.counts("cost_usd_total")
        assert cost == {
            ("act", "small"): pytest.approx(3 * (7 * 0.1 + 3 * 1.0) / 1e6),
            ("plan", "large"): pytest.approx((7 * 1.0 + 3 * 10.0) / 1e6),
        }
        assert sum((await made.counts("cost_all_large_usd_total")).values()) == pytest.approx(4 * (7 + 30) / 1e6)


async def test_the_access_log_tells_of_each_request_what_was_decided_and_why(tmp_path):
    async with site(tmp_path, [says("hello")]) as made:
        await made.ask("act", "x-request-id: one")
        (line,) = await made.running.log(1)
        told = {
            name: line[name] for name in ("id", "operation", "outcome", "status", "model", "class", "tier", "endpoint")
        }
        assert told == {
            "id": "one",
            "operation": "chat",
            "outcome": "ok",
            "status": 200,
            "model": "act",
            "class": "act",
            "tier": "small",
            "endpoint": made.small[0].key,
        }
        assert {"classReason", "tierReason", "seconds", "promptTokens", "completionTokens"} <= line.keys()


async def test_the_lean_profile_changes_no_body_and_answers_the_same(tmp_path):
    asked = BODY.replace(b"{", b'{"stream":true,', 1)
    async with site(tmp_path, [says("hello")], profile="Lean") as made:
        answer = await made.running.send(post(asked))
        assert (made.small[0].received[0].body, streamed(answer.body)) == (asked, "hello")
        assert await made.counts() == {("act", "ok", "small"): 1.0}


async def test_an_engine_that_streams_nothing_although_asked_to_is_streamed_all_the_same(tmp_path):
    async with site(tmp_path, [writes(whole(200, chat("hello")))]) as made:
        answer = await made.ask(stream=True)
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert (streamed(answer.body), answer.body.endswith(DONE)) == ("hello", True)


async def test_a_stream_is_passed_on_byte_for_byte_however_it_is_cut(tmp_path):
    stream = b": begins\n\n" + delta("a") + b"data: {\r\n\r\n" + delta("b", "stop") + DONE
    pieces = [stream[n : n + 7] for n in range(0, len(stream), 7)]
    script = writes(STREAM_HEAD, *(piece(data) for data in pieces), LAST)
    async with site(tmp_path, [script], profile="Lean") as made:
        assert (await made.ask(stream=True)).body == stream


async def test_a_model_with_a_slash_in_its_name_is_found_as_clients_quote_it(tmp_path):
    async with site(tmp_path, config={"large": {"servedName": "qwen/Qwen3-32B"}}) as made:
        for quoted in (b"qwen%2FQwen3-32B", b"qwen/Qwen3-32B"):
            answer = await made.running.send(b"GET /v1/models/%b HTTP/1.1\r\nhost: r\r\n\r\n" % quoted)
            assert (answer.status, json.loads(answer.body)["id"]) == (200, "qwen/Qwen3-32B")
