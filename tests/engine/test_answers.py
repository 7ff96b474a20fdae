"""What vLLM answers has the recorded form, and through a router it is the same."""

import asyncio
import json
import os
import signal
from typing import Any

import pytest

from engine.conftest import Engines
from engine.routers import EngineRouter
from testbed import exchanges
from testbed.exchanges import EXCHANGES, Exchange

JUDGED = {"quality": {"minMeanLogprob": -50, "holdStreamCharacters": 1}}
"""A bound that asks engines for the log-probabilities of all answers, and that no answer falls under."""

ROUTERS_OWN = {
    *("models", "unknown path", "wrong method", "no JSON", "unknown model"),
    *("no messages", "messages of a wrong type"),
}
"""What a router answers itself."""


def test_answers_have_the_recorded_forms(engines: Engines):
    """`make test-engine RECORD=1` writes them anew, with another version of vLLM."""
    found = {name: exchanges.form(engines.small.ask(exchange, engines.key)) for name, exchange in EXCHANGES.items()}
    if os.environ.get("RECORD"):
        exchanges.RECORD.write_text(json.dumps(found, indent=1) + "\n")
    assert found == exchanges.recorded()


@pytest.mark.parametrize("policy", [{}, JUDGED], ids=["as it is", "judged by log-probabilities"])
async def test_a_router_adds_nothing_and_takes_nothing_away(engines: Engines, tmp_path, policy: dict[str, Any]):
    names = [name for name in EXCHANGES if name not in ROUTERS_OWN]
    async with EngineRouter(tmp_path, engines, **policy) as router:
        await router.ready()
        answers = [await asyncio.to_thread(exchanges.ask, router.port, EXCHANGES[name]) for name in names]
    found = dict(zip(names, map(exchanges.form, answers), strict=True))
    assert found == {name: _told(exchanges.recorded()[name], asked=bool(policy)) for name in names}


def _told(form: dict[str, Any], *, asked: bool) -> dict[str, Any]:
    """The form as a client gets it; `asked`: the router asks for log-probabilities.

    Then a response names how many likeliest tokens were asked for: 0, and nothing else of it is left. vLLM's
    fingerprint is in the last event of JSON; where a client asked for no usage, that is the event of the usage that the
    router asked for, and goes with it.
    """
    if asked:
        form = json.loads(json.dumps(form).replace('"top_logprobs": null', '"top_logprobs": "number"'))
    events = form.get("events", [])
    if len(events) < 2 or not isinstance(events[-2], dict) or not events[-2].get("choices"):
        return form
    return {
        **form,
        "events": [*events[:-2], {k: v for k, v in events[-2].items() if k != "system_fingerprint"}, events[-1]],
    }


def _ask(path: str, **fields: Any) -> Exchange:
    return Exchange(path, {"model": "act", "temperature": 0, **fields})


UNSURE = {
    "chat": _ask("/v1/chat/completions", messages=[{"role": "user", "content": "Hi"}], max_tokens=4),
    "chat stream": _ask(
        "/v1/chat/completions", messages=[{"role": "user", "content": "Hi"}], max_tokens=4, stream=True
    ),
    "completion": _ask("/v1/completions", prompt="Hi", max_tokens=4),
    "completion stream": _ask("/v1/completions", prompt="Hi", max_tokens=4, stream=True),
    "response": _ask("/v1/responses", input="Hi", max_output_tokens=16),
    "response stream": _ask("/v1/responses", input="Hi", max_output_tokens=16, stream=True),
}


@pytest.mark.parametrize("name", UNSURE)
async def test_an_answer_of_which_its_model_is_not_sure_is_asked_of_the_large_one(
    engines: Engines, tmp_path, name: str
):
    """The mean log-probability is that of real tokens, streamed and not."""
    policy = {"quality": {"minMeanLogprob": 0, "holdStreamCharacters": 4}, "retry": {"attempts": 1}}
    async with EngineRouter(tmp_path, engines, **policy) as router:
        await router.ready()
        answer = await asyncio.to_thread(exchanges.ask, router.port, UNSURE[name])
        await router.stop(signal.SIGTERM)
    assert (answer.status, b'"logprob":' in answer.body, b'"token_logprobs"' in answer.body) == (200, False, False)
    (line,) = router.lines()
    assert [(tried["tier"], tried["flaw"]) for tried in line["attempts"]] == [
        ("small", "improbable"),
        ("large", "improbable"),
    ]
