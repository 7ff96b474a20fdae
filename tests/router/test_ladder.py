"""What follows when engines fail or answer badly: others, other parameters, another tier, a person, an honest no."""

import asyncio
import hashlib
import json

import pytest

from heterofleet.router.breaker import State
from router.engines import LAST, STREAM_HEAD, chat, delta, event, piece, says, stalls, whole, writes
from router.running import until
from router.site import Gate, sentence, site, speaks, status, streamed, text, turns
from router.wire import post

REFUSAL = "I'm sorry, but I can't help with that."
NO_FALLBACK = {"largeForSmall": False, "cached": False}
NO_PROBES = {"probeIdleSeconds": 0}
FAILURES = {
    "closes early": writes(close=True),
    "closes in its head": writes(b"HTTP/1.1 200 OK\r\ncont", close=True),
    "closes in its body": writes(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", close=True),
    "is no http": writes(b"SSH-2.0-OpenSSH_9.2\r\n", close=True),
    "error": status(500),
    "knows another key": status(401, b'{"error":"Unauthorized"}'),
    "busy": status(429),
    "unavailable": status(503),
    "no json": writes(whole(200, b"<html>")),
    "no answer": writes(whole(200, b'{"x": 1}')),
    "error under success": writes(whole(200, b'{"error":{"message":"broken"}}')),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_another_instance_answers_for_one_that_fails(tmp_path, failure):
    script = turns(FAILURES[failure], says("hello"))
    async with site(tmp_path, [script, script]) as made:
        answer = await made.ask()
        assert (answer.status, text(answer), answer.headers["x-heterofleet-attempts"]) == (200, "hello", "2")
        assert [len(engine.received) for engine in made.small] == [1, 1]
        assert made.small[0].received[0].body == made.small[1].received[0].body
        assert sum((await made.counts("retries_total")).values()) == 1


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        *(("closes early", 502), ("error", 502), ("is no http", 502), ("no json", 502)),
        *(("knows another key", 502), ("busy", 503), ("unavailable", 503)),
    ],
)
async def test_where_all_fail_the_status_says_honestly_how(tmp_path, failure, code):
    retry = {"attempts": 2, "backoffSeconds": 0}
    async with site(tmp_path, [FAILURES[failure]], retry=retry, fallback=NO_FALLBACK) as made:
        answer = await made.ask()
        assert (answer.status, answer.headers["x-heterofleet-attempts"]) == (code, "3")
        assert json.loads(answer.body)["error"]["type"] == "server_error"
        assert "after 3 attempts" in sentence(answer)
        assert answer.headers.get("retry-after") == ("1" if code == 503 else None)
        assert await made.counts() == {("act", "failed", "none"): 1.0}


async def test_a_tier_with_nobody_to_ask_makes_of_bad_answers_no_want_of_engines(tmp_path):
    retry = {"attempts": 1, "backoffSeconds": 0}
    async with site(tmp_path, [status(500)], retry=retry, queue={"actDeadlineSeconds": 0.01}) as made:
        answer = await made.ask()
        assert (answer.status, answer.headers["x-heterofleet-attempts"]) == (502, "2")
        assert "after 2 attempts" in sentence(answer)


async def test_one_budget_bounds_the_attempts_of_a_request_in_all_tiers(tmp_path):
    retry = {"attempts": 10, "maxAttempts": 4, "backoffSeconds": 0}
    async with site(tmp_path, [status(500)] * 2, [status(500)], retry=retry, breaker={"failures": 99}) as made:
        assert (await made.ask()).status == 502
        assert sum(len(engine.received) for engine in (*made.small, *made.large)) == 4


@pytest.mark.parametrize("written", [(), (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",), (STREAM_HEAD,)])
async def test_one_budget_bounds_the_time_of_a_request(tmp_path, written):
    limits = {"firstByteSeconds": 0.01, "stallSeconds": 0.01}
    retry = {"attempts": 1, "backoffSeconds": 0}
    async with site(tmp_path, [stalls(*written)], limits=limits, retry=retry, fallback=NO_FALLBACK) as made:
        answer = await made.ask(stream=True)
        assert (answer.status, len(made.small[0].received)) == (504, 2)
        assert sentence(answer).startswith("no engine answered in time, after 2 attempts")


async def test_a_breaker_opens_after_five_failures_and_lets_one_trial_through(tmp_path):
    gate = Gate(says("well again"))
    script = turns(*[status(500)] * 5, gate)
    policy = {"retry": {"attempts": 0}, "breaker": {"failures": 5, **NO_PROBES}, "fallback": NO_FALLBACK}
    async with site(tmp_path, [script], **policy) as made:
        (engine,) = made.small
        breaker = made.endpoint(engine).breaker
        assert [(await made.ask()).status for _ in range(5)] == [502] * 5
        assert breaker.state(made.router._loop.time()) is State.OPEN
        breaker.reopen_at = made.router._loop.time()
        asked = [asyncio.create_task(made.ask()) for _ in range(3)]
        await until(lambda: gate.came > 0)
        waiting = made.router._dispatcher.waiting
        await until(lambda: sum(map(len, waiting.values())) == 2)
        assert len(engine.received) == 6
        gate.open.set()
        assert [(await answer).status for answer in asked] == [200] * 3
        assert breaker.state(made.router._loop.time()) is State.CLOSED


async def test_clients_that_leave_are_no_fault_of_an_engine(tmp_path):
    async with site(tmp_path, [stalls()], breaker={"failures": 1, **NO_PROBES}) as made:
        (engine,) = made.small
        for count in range(1, 4):
            async with made.asking():
                await until(lambda count=count: len(engine.received) == count)
            await until(lambda count=count: engine.gone == count)
            await made.quiet()
        assert made.endpoint(engine).breaker.state(made.router._loop.time()) is State.CLOSED
        assert await made.counts() == {("act", "cancelled", "none"): 3.0}


async def test_act_requests_are_answered_by_the_large_tier_where_the_small_one_has_nobody(tmp_path):
    async with site(tmp_path, [], [says("large")]) as made:
        answer = await made.ask()
        assert (text(answer), answer.headers["x-heterofleet-tier"]) == ("large", "large")
        assert "x-heterofleet-degraded" not in answer.headers


async def test_plan_requests_are_answered_by_the_small_tier_where_the_large_one_has_nobody_and_are_told_so(tmp_path):
    async with site(tmp_path, [says("small")], []) as made:
        answer = await made.ask("plan")
        assert (text(answer), answer.headers["x-heterofleet-tier"]) == ("small", "small")
        assert answer.headers["x-heterofleet-degraded"] == "true"
        assert await made.counts("fallbacks_total") == {("plan", "unavailable"): 1.0}


async def test_the_other_tier_answers_where_the_own_fails(tmp_path):
    async with site(tmp_path, [status(500)], [says("large")], retry={"attempts": 1, "backoffSeconds": 0}) as made:
        answer = await made.ask()
        assert (text(answer), answer.headers["x-heterofleet-attempts"]) == ("large", "3")


@pytest.mark.parametrize("changes", [{"fallback": {"largeForSmall": False}}, {"model": "chat-small"}])
async def test_no_other_tier_answers_where_policy_or_client_has_forbidden_it(tmp_path, changes):
    queue = {"actDeadlineSeconds": 0.01}
    policy = {name: value for name, value in changes.items() if name != "model"}
    async with site(tmp_path, [], [says("large")], queue=queue, **policy) as made:
        answer = await made.ask(changes.get("model", "act"), "x-heterofleet-class: act")
        assert (answer.status, made.large[0].received) == (503, [])


@pytest.mark.parametrize(
    ("bad", "flaw"), [(REFUSAL, "refusal"), ("", "empty"), ("  \n", "empty")]
)  # fmt: skip
async def test_a_bad_answer_of_the_small_tier_is_asked_of_the_large_one(tmp_path, bad, flaw):
    async with site(tmp_path, [speaks(bad)], [says("well")]) as made:
        answer = await made.ask()
        found = (text(answer), answer.headers["x-heterofleet-tier"], answer.headers["x-heterofleet-attempts"])
        assert found == ("well", "large", "2")
        assert await made.counts("escalations_total") == {("act", flaw): 1.0}
        assert await made.counts() == {("act", "ok", "large"): 1.0}


async def test_an_answer_that_breaks_the_schema_that_was_asked_for_is_asked_of_the_large_tier(tmp_path):
    schema = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}
    asked = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}
    async with site(tmp_path, [says('{"town":"Rome"}')], [says('{"city":"Rome"}')]) as made:
        answer = await made.ask(response_format=asked)
        assert (text(answer), answer.headers["x-heterofleet-tier"]) == ('{"city":"Rome"}', "large")
        assert await made.counts("escalations_total") == {("act", "not_json"): 1.0}


@pytest.mark.parametrize("large", [[], [status(500)], [status(400)], [writes(close=True)]])
async def test_a_bad_answer_is_given_where_nobody_answers_better(tmp_path, large):
    policy = {"retry": {"attempts": 1, "backoffSeconds": 0}, "queue": {"actDeadlineSeconds": 0.01}}
    async with site(tmp_path, [speaks(REFUSAL)], large, **policy) as made:
        answer = await made.ask()
        assert (answer.status, text(answer), answer.headers["x-heterofleet-tier"]) == (200, REFUSAL, "small")
        assert await made.counts() == {("act", "flawed", "small"): 1.0}


async def test_a_bad_answer_is_given_where_the_large_tier_is_full(tmp_path):
    gate = Gate(says("large"))
    config = {"large": {"servedName": "chat-large", "maxInFlight": 1}}
    queue = {"maxRequests": 0}
    async with (
        site(tmp_path, [speaks(REFUSAL)], [gate], config=config, queue=queue) as made,
        made.asking("plan") as wire,
    ):
        await until(lambda: gate.came == 1)
        answer = await made.ask()
        assert (answer.status, text(answer)) == (200, REFUSAL)
        gate.open.set()
        assert (await wire.answer()).status == 200


async def test_a_bad_answer_is_asked_for_again_with_other_parameters_before_another_tier_is(tmp_path):
    script = turns(speaks(REFUSAL), says("well"))
    async with site(tmp_path, [script], [says("large")], adjustment={"enabled": True, "temperature": 0.2}) as made:
        answer = await made.ask(temperature=1.0, seed=7)
        first, second = (received.fields for received in made.small[0].received)
        assert (text(answer), made.large[0].received) == ("well", [])
        assert second == {**first, "temperature": 0.2}
        assert await made.counts("adjustments_total") == {("act", "refusal"): 1.0}


async def test_act_requests_go_to_the_large_tier_at_once_while_the_small_one_answers_badly(tmp_path):
    escalation = {"threshold": 0.7, "minSamples": 3, "windowSeconds": 300}
    async with site(tmp_path, [speaks("")], [says("large")], escalation=escalation) as made:
        attempts = [(await made.ask()).headers["x-heterofleet-attempts"] for _ in range(4)]
        assert attempts == ["2", "2", "2", "1"]
        assert await made.counts("offered_total") == {("act",): 4.0}


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("second", [False, True])
async def test_an_answer_is_given_again_in_the_form_that_is_asked_for(tmp_path, first, second):
    async with site(tmp_path, [says("hello")], cache={"exact": {"use": "Deterministic"}}) as made:
        await made.ask(temperature=0, stream=first)
        answer = await made.ask(temperature=0, stream=second)
        said = streamed(answer.body) if second else text(answer)
        assert said == "hello"
        assert (answer.headers["x-heterofleet-cache"], len(made.small[0].received)) == ("exact", 1)
        assert await made.counts() == {("act", "ok", "small"): 1.0, ("act", "cached", "none"): 1.0}


async def test_an_old_answer_is_given_where_no_engine_gives_a_new_one(tmp_path):
    exact = {"use": "Allowed", "ttlSeconds": 1}
    script = turns(says("hello"), status(500))
    async with site(tmp_path, [script], cache={"exact": exact}, retry={"attempts": 0}) as made:
        await made.ask("act", "x-heterofleet-cache: allow")
        answer = await made.ask("act", "x-heterofleet-cache: allow")
        while answer.headers["x-heterofleet-cache"] == "exact":  # Until it is older than a second.
            answer = await made.ask("act", "x-heterofleet-cache: allow")
        found = (text(answer), answer.headers["x-heterofleet-cache"], answer.headers["x-heterofleet-degraded"])
        assert found == ("hello", "stale", "true")


async def test_an_old_answer_of_the_large_tier_is_given_only_where_no_engine_gives_a_new_one(tmp_path):
    script = turns(says("hello"), says("again"), status(500))
    async with site(tmp_path, [], [script], cache={"exact": {"use": "Deterministic"}}, retry={"attempts": 0}) as made:
        found = [await made.ask("plan", temperature=0) for _ in range(3)]
        assert [text(answer) for answer in found] == ["hello", "again", "again"]
        assert [answer.headers.get("x-heterofleet-cache") for answer in found] == [None, None, "stale"]
        answer = await made.ask("plan", temperature=1)
        assert (answer.status, answer.headers["x-heterofleet-attempts"]) == (502, "1")


async def test_no_old_answer_is_given_where_policy_does_not_want_one(tmp_path):
    script = turns(says("hello"), status(500))
    cache = {"exact": {"use": "Deterministic"}}
    fallback = {"cached": False}
    async with site(tmp_path, [], [script], cache=cache, retry={"attempts": 0}, fallback=fallback) as made:
        assert [(await made.ask("plan", temperature=0)).status for _ in range(2)] == [200, 502]


REVIEWS = {
    "auth": {"keysSecret": "keys"},
    "review": {"enabled": True, "reviewers": ["judge"]},
    "store": {"file": {"persistentVolumeClaim": "books"}},
    "escalation": {"enabled": False},
}
JUDGE, BLUE = "authorization: Bearer judge", "authorization: Bearer sesame"
DECISIONS = {
    "accept": ({"action": "accept"}, 200, REFUSAL, "Accepted"),
    "edit": ({"action": "edit", "text": "By a person."}, 200, "By a person.", "Edited"),
    "reject": ({"action": "reject", "reason": "Not this."}, 422, "Not this.", "Rejected"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("decision", DECISIONS)
async def test_a_person_settles_what_no_engine_answers_well(tmp_path, decision, stream):
    said, code, words, outcome = DECISIONS[decision]
    _keys(tmp_path)
    policy = {**REVIEWS, "quality": {"holdStreamCharacters": 20}}
    async with site(tmp_path, [speaks(REFUSAL)], **policy) as made, made.asking("act", BLUE, stream=stream) as wire:
        (waiting,) = await _listed(made)
        settled = await _post(made, f"/v1/review/{waiting['id']}", said)
        answer = await wire.answer()
        assert (settled.status, answer.status, answer.headers["x-heterofleet-review"]) == (200, code, outcome)
        assert words == (sentence(answer) if code == 422 else streamed(answer.body) if stream else text(answer))


async def test_the_best_attempt_is_given_where_nobody_settles_it_in_time(tmp_path):
    _keys(tmp_path)
    policy = {**REVIEWS, "review": {**REVIEWS["review"], "timeoutSeconds": 0.01}}
    async with site(tmp_path, [speaks(REFUSAL)], **policy) as made:
        answer = await made.ask("act", BLUE)
        assert (text(answer), answer.headers["x-heterofleet-review"]) == (REFUSAL, "TimedOut")


async def test_only_reviewers_see_reviews(tmp_path):
    _keys(tmp_path)
    async with site(tmp_path, [says("hello")], **REVIEWS) as made:
        keys = (JUDGE, BLUE, "authorization: Bearer other")
        answers = [await made.running.send(_get("/v1/review", key)) for key in keys]
        assert [answer.status for answer in answers] == [200, 403, 401]


def _keys(folder) -> None:
    (folder / "keys").mkdir()
    for tenant, key in (("blue", "sesame"), ("judge", "judge")):
        (folder / "keys" / tenant).write_text(hashlib.sha256(key.encode()).hexdigest())


def _get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "host: r", *headers, "", ""]).encode()


async def _listed(made) -> list[dict]:
    while True:
        found = json.loads((await made.running.send(_get("/v1/review", JUDGE))).body)["data"]
        if found:
            return found
        await asyncio.sleep(0.01)


async def _post(made, path: str, said: dict):
    return await made.running.send(post(json.dumps(said).encode(), JUDGE, path=path))


@pytest.mark.parametrize(
    "beginning",
    [
        (piece(b'data: {"error":{"message":"broken"}}\n\n'),),
        (piece(b"<html>"),),
        (piece(b"data: {not json}\n\n"),),
        (),
    ],
)
async def test_a_stream_that_begins_badly_is_begun_again_elsewhere(tmp_path, beginning):
    script = turns(writes(STREAM_HEAD, *beginning, b"0\r\n\r\n"), says("hello"))
    quality = {"holdStreamCharacters": 1}
    async with site(tmp_path, [script, script], quality=quality) as made:
        answer = await made.ask(stream=True)
        assert (streamed(answer.body), answer.headers["x-heterofleet-attempts"]) == ("hello", "2")


async def test_what_fails_while_it_is_held_back_is_begun_again_elsewhere(tmp_path):
    script = turns(writes(STREAM_HEAD, piece(delta("half an ans")), close=True), says("hello"))
    async with site(tmp_path, [script, script], quality={"holdStreamCharacters": 500}) as made:
        answer = await made.ask(stream=True)
        assert (streamed(answer.body), answer.headers["x-heterofleet-attempts"]) == ("hello", "2")


async def test_a_refusing_stream_that_is_held_back_is_asked_of_the_large_tier(tmp_path):
    async with site(tmp_path, [speaks(REFUSAL)], [says("well")], quality={"holdStreamCharacters": 30}) as made:
        answer = await made.ask(stream=True)
        assert (streamed(answer.body), answer.headers["x-heterofleet-tier"]) == ("well", "large")
        assert await made.counts("escalations_total") == {("act", "refusal"): 1.0}


@pytest.mark.parametrize("bad", [REFUSAL, ""])
async def test_a_bad_stream_is_given_whole_where_nobody_answers_better(tmp_path, bad):
    async with site(tmp_path, [speaks(bad)], quality={"holdStreamCharacters": 30}) as made:
        answer = await made.ask(stream=True)
        assert (answer.status, streamed(answer.body)) == (200, bad)
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.body.endswith(b"data: [DONE]\n\n")
        assert await made.counts() == {("act", "flawed", "small"): 1.0}


async def test_log_probabilities_of_a_bad_stream_that_is_given_all_the_same_are_not_its_clients_to_see(tmp_path):
    quality = {"minMeanLogprob": -1.0, "holdStreamCharacters": 30}
    said = {"index": 0, "delta": {"content": "hm"}, "finish_reason": "stop"}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    choice = {**said, "logprobs": {"content": [{"token": "hm", "logprob": -4.0}]}}
    stream = event({**chunk, "choices": [choice]}) + b"data: [DONE]\n\n"
    async with site(tmp_path, [writes(STREAM_HEAD + piece(stream) + LAST)], quality=quality) as made:
        answer = await made.ask(stream=True)
        assert made.small[0].received[0].fields["logprobs"] is True
        assert (streamed(answer.body), b"-4.0" in answer.body) == ("hm", False)
        assert await made.counts() == {("act", "flawed", "small"): 1.0}


async def test_log_probabilities_that_policy_asked_for_are_not_its_clients_to_see(tmp_path):
    probable = json.loads(chat("hello"))
    probable["choices"][0]["logprobs"] = {"content": [{"token": "hello", "logprob": -0.1}]}
    quality = {"minMeanLogprob": -1.0}
    async with site(tmp_path, [writes(whole(200, json.dumps(probable).encode()))], quality=quality) as made:
        answer = await made.ask()
        assert made.small[0].received[0].fields["logprobs"] is True
        assert json.loads(answer.body)["choices"][0]["logprobs"] is None
