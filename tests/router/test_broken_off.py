"""A stream that an engine breaks off, as its client sees it."""

from router import engines, running, wire
from router.engines import delta, piece


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
