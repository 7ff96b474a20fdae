"""Writes of one turn of the loop leave together, in their order, and only to who is still there."""

import asyncio

from heterofleet.router.outbox import Outbox

Log = list[tuple[str, bytes]]


class Peer(asyncio.WriteTransport):
    """Keeps what is written to it in `log`, with its name."""

    def __init__(self, name: str, log: Log) -> None:
        super().__init__()
        self._name, self._log, self.closing = name, log, False

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        self._log.append((self._name, data))


async def a_turn() -> None:
    await asyncio.sleep(0)


async def test_writes_wait_for_the_turn_to_end_and_keep_their_order() -> None:
    log: Log = []
    one, other = Peer("one", log), Peer("other", log)
    outbox = Outbox(asyncio.get_running_loop())
    outbox.put(one, b"1")
    outbox.put(other, b"2")
    outbox.put(one, b"3")
    assert log == []
    await a_turn()
    assert log == [("one", b"1"), ("other", b"2"), ("one", b"3")]
    outbox.put(other, b"4")
    await a_turn()
    assert log[3:] == [("other", b"4")]


async def test_who_flushes_writes_at_once_and_nothing_twice() -> None:
    log: Log = []
    outbox = Outbox(asyncio.get_running_loop())
    outbox.put(Peer("one", log), b"1")
    outbox.flush()
    assert log == [("one", b"1")]
    outbox.put(Peer("other", log), b"2")
    await a_turn()
    await a_turn()
    assert log == [("one", b"1"), ("other", b"2")]


async def test_nothing_is_written_to_who_is_gone_by_then() -> None:
    log: Log = []
    gone, there = Peer("gone", log), Peer("there", log)
    outbox = Outbox(asyncio.get_running_loop())
    outbox.put(gone, b"1")
    outbox.put(there, b"2")
    gone.closing = True
    await a_turn()
    assert log == [("there", b"2")]
