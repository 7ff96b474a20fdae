"""An engine that answers every operation of the API."""

import asyncio
import json
from typing import Any

from router.engines import Received, says, whole

EMBEDDINGS = {
    "object": "list",
    "model": "m",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -1.0]}],
    "usage": {"prompt_tokens": 2, "total_tokens": 2},
}
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "m",
    "output": [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "hello", "annotations": []}],
        }
    ],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {
        "input_tokens": 7,
        "output_tokens": 3,
        "total_tokens": 10,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    },
}
COMPLETION = {
    "id": "c", "object": "text_completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "text": "hello", "finish_reason": "stop", "logprobs": None}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
}  # fmt: skip
ANSWERS = {"/v1/embeddings": EMBEDDINGS, "/v1/responses": RESPONSE, "/v1/completions": COMPLETION}


async def engine(received: Received, writer: asyncio.StreamWriter) -> None:
    """Answers every operation; where a stream is asked for the router makes one of it."""
    body = ANSWERS.get(received.path)
    if body is None:
        await says("hello")(received, writer)
    else:
        writer.write(whole(200, json.dumps(body).encode()))
