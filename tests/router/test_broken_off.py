"""A stream that an engine breaks off or begins with garbage, as its client sees it."""

import pytest

from router import engines, running, wire
from router.engines import DONE, delta, piece


async def test_a_connection_serves_on_after_a_stream_that_its_engine_broke_off(tmp_path):
    breaks_off = engines.writes(engines.STREAM_HEAD, piece(delta("Once")), close=True)
    async with (
        engines.engine(breaks_off) as engine,
        running.running(tmp_path, running.config(small=[engine])) as router,
        wire.connected(router.router.port) as client,
    ):
        client.send(wire.post(running.body(stream=True)))
        cut = await client.answer()
        client.send(wire.post(running.body(model="nobody")))
        after = await client.answer()
    assert cut.body.startswith(delta("Once") + b'data: {"error"')
    assert (cut.status, after.status) == (200, 404)
    # It was not said to be closed, so that a client may have sent its next request already.
    assert "connection" not in cut.headers


@pytest.mark.parametrize("garbage", [b'data: {"choices":[{"ind\n\n', b"data: {}}\n\ndata: [DONE]\n\n"])
async def test_garbage_at_the_beginning_of_a_stream_is_asked_of_another_engine(tmp_path, garbage):
    writes_garbage = engines.writes(engines.STREAM_HEAD, piece(garbage), engines.LAST)
    async with (
        engines.engine(writes_garbage) as small,
        engines.engine(engines.says("well")) as large,
        running.running(tmp_path, running.config(small=[small], large=[large])) as router,
    ):
        answer = await router.ask(stream=True)
    assert garbage not in answer.body
    assert answer.body == delta("well") + delta("", "stop") + DONE
    assert (answer.headers["x-heterofleet-tier"], answer.headers["x-heterofleet-attempts"]) == ("large", "5")


async def test_a_first_event_of_several_lines_is_no_garbage(tmp_path):
    stream = b'data: {"choices":\ndata: []}\n\n' + delta("well", "stop") + DONE
    async with (
        engines.engine(engines.writes(engines.STREAM_HEAD, piece(stream), engines.LAST)) as engine,
        running.running(tmp_path, running.config(small=[engine])) as router,
    ):
        answer = await router.ask(stream=True, stream_options={"include_usage": True})
    assert answer.body == stream
