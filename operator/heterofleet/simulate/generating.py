"""One request that generates, from its question to the last byte of its answer.

    question -> answers (known at once, since they are a function of the prompt) -> engine (takes its time)
             -> shape -> bytes, with the fault in between that the die gave to this request

A client that leaves cancels the handler, and its sequences leave the engine.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from aiohttp import web

from heterofleet.simulate import text
from heterofleet.simulate.driver import Choice, Driver, Generation
from heterofleet.simulate.engine import Refused
from heterofleet.simulate.events import Arrival
from heterofleet.simulate.faults import Fault, Faults
from heterofleet.simulate.question import Operation, Question, Refusal
from heterofleet.simulate.responses import Response
from heterofleet.simulate.shapes import Chat, Completion, Identity, Shape, Usage
from heterofleet.simulate.text import Answer, Manner

_SHAPES: Final[Mapping[Operation, Callable[[Question, Identity, Sequence[Answer]], Shape]]] = {
    Operation.CHAT: Chat,
    Operation.COMPLETIONS: Completion,
    Operation.RESPONSES: Response,
}

_GARBAGE: Final = b'{"choices":[{"index":0,"message":{"role":"assi\x00\xff\xfe'
_BAD_EVENTS: Final = b'data {"choices"\r\n:::\n\n\ndata: data: [{\n\nevent\n'


class Asked(NamedTuple):
    """A question that came in over HTTP, with the headers that its answer carries."""

    question: Question
    identity: Identity
    headers: Mapping[str, str]


async def generate(
    request: web.BaseRequest, asked: Asked, driver: Driver, manner: Manner, fault: Fault | None, faults: Faults
) -> web.StreamResponse:
    """Answer one request. Raises Refusal where the engine cannot take it."""
    answers = _answers(asked.question, driver.engine.profile.max_model_len, manner)
    if fault is Fault.HUGE:
        answers = [Answer(text.split("x" * faults.huge_bytes), "length") for _ in answers]
    generation = _submit(asked.question, answers, driver)
    shape = _SHAPES[asked.question.operation](asked.question, asked.identity, answers)
    try:
        if asked.question.stream:
            return await _stream(request, asked, generation, shape, fault, faults)
        await generation.change()
    finally:
        if generation.left:
            driver.abort(generation)
    body = _GARBAGE if fault in (Fault.GARBAGE, Fault.BAD_SSE) else shape.whole(_usage(asked.question, generation))
    if fault in (Fault.CUT, Fault.STALL):
        return await _half(request, asked, body, faults.stall_seconds if fault is Fault.STALL else 0.0)
    return web.Response(body=body, headers={**asked.headers, "Content-Type": "application/json"})


def _answers(question: Question, context: int, manner: Manner) -> list[Answer]:
    found = []
    for prompt in question.prompts:
        wish = question.wish(context, text.count(prompt))
        found += [text.answer(prompt, question.last, choice, wish, manner) for choice in range(question.choices)]
    return found


def _submit(question: Question, answers: Sequence[Answer], driver: Driver) -> Generation:
    """Hand all choices of a request to the engine, as long as what they will say."""
    generation = Generation(question.stream)
    block, caching = driver.engine.profile.block_tokens, driver.engine.profile.prefix_caching
    arrivals = []
    for number, answer in enumerate(answers):
        prompt = question.prompts[number // question.choices]
        # What a huge answer takes on the wire is no work of the model.
        output = min(len(answer.tokens), driver.engine.profile.max_model_len - text.count(prompt))
        choice = Choice(generation, text.count(prompt), output, answer.finish)
        generation.choices.append(choice)
        chain = text.blocks(prompt + answer.text, block) if caching and output == len(answer.tokens) else ()
        arrivals.append(
            Arrival(choice, choice.prompt_tokens, output, chain, question.priority, watched=question.stream)
        )
    try:
        driver.submit(generation, arrivals)
    except Refused as exc:
        raise Refusal(str(exc), status=500, kind="InternalServerError") from exc
    return generation


def _usage(question: Question, generation: Generation) -> Usage:
    firsts = generation.choices[:: question.choices]
    return Usage(
        prompt=sum(choice.prompt_tokens for choice in firsts),
        completion=sum(choice.output_tokens for choice in generation.choices),
        cached=sum(choice.cached_tokens for choice in firsts),
    )


async def _stream(
    request: web.BaseRequest, asked: Asked, generation: Generation, shape: Shape, fault: Fault | None, faults: Faults
) -> web.StreamResponse:
    await generation.change()
    response = web.StreamResponse(headers={**asked.headers, "Content-Type": "text/event-stream; charset=utf-8"})
    await response.prepare(request)
    opening, sent = shape.opening(), [0] * len(generation.choices)
    total = sum(choice.output_tokens for choice in generation.choices)
    while True:
        chunk, opening = opening + _fresh(generation, shape, sent, whole=fault is Fault.HUGE), b""
        if fault is Fault.GARBAGE:
            chunk = b"data: " + _GARBAGE + b"\n\n"
        elif fault is Fault.BAD_SSE:
            chunk = _BAD_EVENTS
        await response.write(chunk)
        if fault in (Fault.CUT, Fault.STALL) and 2 * sum(sent) >= total:
            await _break_off(request, faults.stall_seconds if fault is Fault.STALL else 0.0)
            return response
        if not generation.left:
            break
        await generation.change()
    if fault not in (Fault.GARBAGE, Fault.BAD_SSE):
        await response.write(shape.closing(_usage(asked.question, generation)))
    await response.write_eof()
    return response


def _fresh(generation: Generation, shape: Shape, sent: list[int], *, whole: bool) -> bytes:
    """What was made since the last chunk; `whole`: an answer that is longer than what the engine was told."""
    parts = []
    for index, choice in enumerate(generation.choices):
        if choice.made > sent[index]:
            end = _ENDLESS if whole and choice.over else choice.made
            parts.append(shape.piece(index, sent[index], end))
            sent[index] = choice.made
    return b"".join(parts)


_ENDLESS: Final = 2**62


async def _half(request: web.BaseRequest, asked: Asked, body: bytes, seconds: float) -> web.StreamResponse:
    """Half of an answer whose length was promised whole."""
    headers = {**asked.headers, "Content-Type": "application/json", "Content-Length": str(len(body))}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    await _break_off(request, seconds)
    return response


async def _break_off(request: web.BaseRequest, seconds: float) -> None:
    """Say nothing for a while, then close the connection in the middle of the answer."""
    await asyncio.sleep(seconds)
    if request.transport is not None:
        request.transport.close()
