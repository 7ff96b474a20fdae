"""The published document of the API: it says what the router does, and the router does what it says."""

import asyncio
import json
from importlib import resources
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from heterofleet.router import openai
from router.operations import engine
from router.site import site

DOCUMENT: dict[str, Any] = json.loads((resources.files("heterofleet.router") / "data" / "openapi.json").read_bytes())
MODELS = {"enum": ["auto", "plan", "act", "chat", "chat-large", "chat-small", "bge", "nobody"]}
"""Names that a test asks for; at random hardly any request would come to an engine."""
SCHEMAS = {**DOCUMENT["components"]["schemas"], "ModelName": MODELS}
NARROWED = {**DOCUMENT, "components": {**DOCUMENT["components"], "schemas": SCHEMAS}}
OPERATIONS = [
    (path, method.upper()) for path, item in DOCUMENT["paths"].items() for method in item if method != "parameters"
]
EXAMPLES = 15


async def test_it_is_served_as_it_is(tmp_path):
    async with site(tmp_path) as made:
        answer = await made.running.send(b"GET /openapi.json HTTP/1.1\r\nhost: r\r\n\r\n")
        assert (answer.status, json.loads(answer.body)) == (200, DOCUMENT)


def test_it_names_every_path_there_is():
    others = {"/v1/models", "/v1/models/{model}", "/v1/review", "/v1/review/{id}", "/openapi.json"}
    assert set(DOCUMENT["paths"]) == set(openai.PATHS) | others


CASES = [(*operation, GenerationMode.POSITIVE) for operation in OPERATIONS]
CASES += [(*operation, GenerationMode.NEGATIVE) for operation in OPERATIONS if operation[1] == "POST"]


@pytest.mark.parametrize(("path", "method", "mode"), CASES)
async def test_the_router_does_what_it_says_whatever_is_sent(tmp_path, path, method, mode):
    operation = schemathesis.openapi.from_dict(NARROWED)[path][method]

    def ask(base_url: str) -> None:
        @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(operation.as_strategy(generation_mode=mode))
        def check(case: schemathesis.Case) -> None:
            case.call_and_validate(base_url=base_url, timeout=60)

        check()

    async with site(tmp_path, [engine], [engine], cache={"exact": {"use": "Off"}}) as made:
        await made.says(embeddings={"endpoints": [made.small[0].key], "model": "bge"})
        await asyncio.to_thread(ask, f"http://127.0.0.1:{made.router.port}")
