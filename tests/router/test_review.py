"""Answers that wait for a person: who may settle them, once, and what becomes of the request that waits."""

import asyncio
from dataclasses import replace
from typing import Any

import orjson
import pytest

from heterofleet.api.labels import Tier
from heterofleet.api.routing import RequestClass
from heterofleet.router import review
from heterofleet.router.desk import ReviewDesk
from heterofleet.router.review import (
    Attempt,
    Conflict,
    InvalidAnswer,
    NoSuchReview,
    Outcome,
    Review,
    Shown,
    State,
)
from heterofleet.router.stores import Held, Unreachable
from heterofleet.router.stores.file import FileStore
from heterofleet.router.stores.memory import MemoryStore
from unit import virtual

NOW = 1_764_000_000.0
REVIEW = Review(
    id="req-1",
    created=NOW,
    deadline=NOW + 600,
    tenant="blue",
    request_class=RequestClass.PLAN,
    reason="the answer is no JSON of the asked schema",
    body=b'{"model": "auto", "messages": [{"role": "user", "content": "\xc3\xbc"}]}',
    attempts=(Attempt(Tier.SMALL, "so", "Schema"), Attempt(Tier.LARGE, "thus", "Refusal")),
)
ACCEPTED = Outcome(State.ACCEPTED, NOW + 5, "anna", attempt=1)


def parse(**fields: Any) -> Outcome:
    return review.parse_answer(orjson.dumps(fields), reviewer="anna", now=NOW)


def test_a_reviewer_accepts_edits_or_rejects():
    assert parse(action="accept", attempt=1) == Outcome(State.ACCEPTED, NOW, "anna", attempt=1)
    assert parse(action="accept") == Outcome(State.ACCEPTED, NOW, "anna", attempt=0)
    assert parse(action="edit", text="better") == Outcome(State.EDITED, NOW, "anna", text="better")
    assert parse(action="reject", reason="nonsense") == Outcome(State.REJECTED, NOW, "anna", reason="nonsense")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", "body"),
        (b"[]", "body"),
        (b"{}", "action"),
        (b'{"action":"burn"}', "action"),
        (b'{"action":["accept"]}', "action"),
        (b'{"action":"accept","attempt":-1}', "attempt"),
        (b'{"action":"accept","attempt":true}', "attempt"),
        (b'{"action":"accept","attempt":"0"}', "attempt"),
        (b'{"action":"edit"}', "text"),
        (b'{"action":"edit","text":"  "}', "text"),
        (b'{"action":"edit","text":"' + b"x" * 1_000_001 + b'"}', "text"),
        (b'{"action":"reject","reason":5}', "reason"),
    ],
)
def test_what_a_reviewer_may_not_say_is_answered_by_its_field(body, param):
    with pytest.raises(InvalidAnswer) as refused:
        review.parse_answer(body, reviewer="anna", now=NOW)
    assert refused.value.param == param


def test_a_review_is_the_same_when_read_back():
    assert review.unpack(review.pack(REVIEW)) == REVIEW
    for outcome in (ACCEPTED, Outcome(State.TIMED_OUT, NOW), Outcome(State.EDITED, NOW, "b", text="x")):
        assert review.unpack_outcome(review.pack_outcome(outcome)) == outcome


def test_a_review_is_shown_whole():
    assert orjson.loads(review.to_json(Shown(REVIEW, None), NOW)) == {
        "object": "review",
        "id": "req-1",
        "created": NOW,
        "deadline": NOW + 600,
        "tenant": "blue",
        "class": "plan",
        "reason": "the answer is no JSON of the asked schema",
        "state": "Waiting",
        "request": {"model": "auto", "messages": [{"role": "user", "content": "ü"}]},
        "attempts": [
            {"tier": "small", "text": "so", "verdict": "Schema"},
            {"tier": "large", "text": "thus", "verdict": "Refusal"},
        ],
        "outcome": None,
    }
    settled = orjson.loads(review.to_json(Shown(REVIEW, ACCEPTED), NOW + 9000))
    assert settled["state"] == "Accepted"
    assert settled["outcome"] == {
        "state": "Accepted",
        "at": NOW + 5,
        "reviewer": "anna",
        "attempt": 1,
        "text": None,
        "reason": None,
    }


def test_a_review_whose_router_died_is_out_of_time_at_its_deadline():
    assert review.state(Shown(REVIEW, None), NOW + 599) is State.WAITING
    assert review.state(Shown(REVIEW, None), NOW + 600) is State.TIMED_OUT


class Site:
    """Routers' desks over one store, in virtual time."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self.here, self.there = ReviewDesk(store, self.now), ReviewDesk(store, self.now)

    def now(self) -> float:
        return NOW + self._loop.time() - self._began

    async def hold(self, held: Review = REVIEW, most: int = 10) -> "asyncio.Task[Outcome]":
        task = asyncio.create_task(self.here.hold(held, max_waiting=most))
        await asyncio.sleep(0.001)
        return task

    async def close(self) -> None:
        await self.here.close()
        await self.there.close()


@pytest.mark.parametrize("desk", ["here", "there"])
def test_an_answer_at_any_router_reaches_the_request_that_waits(desk):
    async def go() -> None:
        site = Site(MemoryStore())
        task = await site.hold()
        assert [orjson.loads(found)["id"] for found in await site.there.list()] == ["req-1"]
        shown = await getattr(site, desk).answer("req-1", ACCEPTED)
        assert shown == Shown(REVIEW, ACCEPTED)
        assert await task == ACCEPTED
        assert site.now() < NOW + 1
        assert list(await site.here.list()) == []
        assert await site.there.show("req-1") == Shown(REVIEW, ACCEPTED)
        await site.close()

    virtual.run(go())


def test_a_second_answer_learns_who_was_first_and_the_same_one_again_is_no_conflict():
    async def go() -> None:
        site = Site(MemoryStore())
        task = await site.hold()
        await site.here.answer("req-1", ACCEPTED)
        again = replace(ACCEPTED, at=NOW + 7)
        assert await site.there.answer("req-1", again) == Shown(REVIEW, ACCEPTED)
        with pytest.raises(Conflict, match="settled before by anna: Accepted") as conflict:
            await site.there.answer("req-1", replace(again, reviewer="bob"))
        assert conflict.value.outcome == ACCEPTED
        with pytest.raises(Conflict):
            await site.there.answer("req-1", replace(again, attempt=0))
        assert await task == ACCEPTED
        await site.close()

    virtual.run(go())


def test_of_two_routers_answering_at_once_one_stands_and_the_other_learns_it():
    async def go() -> None:
        site = Site(MemoryStore())
        task = await site.hold()
        other = Outcome(State.REJECTED, NOW, "bob", reason="no")
        answers = await asyncio.gather(
            site.there.answer("req-1", other), site.here.answer("req-1", ACCEPTED), return_exceptions=True
        )
        assert answers[0] == Shown(REVIEW, other)
        assert isinstance(answers[1], Conflict)
        assert await task == other
        await site.close()

    virtual.run(go())


def test_at_its_deadline_a_request_goes_on_and_nobody_can_answer_any_more():
    async def go() -> None:
        site = Site(MemoryStore())
        task = await site.hold()
        outcome = await task
        assert (outcome.state, round(outcome.at - NOW)) == (State.TIMED_OUT, 600)
        with pytest.raises(Conflict, match="settled before: TimedOut"):
            await site.there.answer("req-1", ACCEPTED)
        await site.close()

    virtual.run(go())


def test_an_answer_in_the_last_moment_stands():
    async def go() -> None:
        site = Site(MemoryStore())
        task = await site.hold(replace(REVIEW, deadline=NOW + 0.4))
        await asyncio.sleep(0.3)
        await site.there.answer("req-1", ACCEPTED)
        assert await task == ACCEPTED
        assert site.now() < NOW + 0.5, "before the other routers' answers were asked for"
        await site.close()

    virtual.run(go())


def test_an_answer_after_the_deadline_conflicts_although_the_router_died():
    async def go() -> None:
        site = Site(MemoryStore())
        held = Held("req-1", review.summary(REVIEW), review.pack(REVIEW), None)
        await site.store.review_put(held, deadline=REVIEW.deadline, most=1, now=NOW)
        await asyncio.sleep(600)
        with pytest.raises(Conflict, match="settled before: TimedOut"):
            await site.there.answer("req-1", ACCEPTED)

    virtual.run(go())


def test_no_more_wait_than_may_and_none_is_dropped_for_another():
    async def go() -> None:
        site = Site(MemoryStore())
        first = await site.hold(most=1)
        second = await (await site.hold(replace(REVIEW, id="req-2"), most=1))
        assert (second.state, second.reason) == (State.NOT_HELD, "as many reviews wait as may: 1")
        await site.here.answer("req-1", ACCEPTED)
        assert await first == ACCEPTED
        await site.close()

    virtual.run(go())


def test_a_client_that_leaves_takes_its_review_along():
    async def go() -> None:
        site = Site(MemoryStore())
        task = await site.hold()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert list(await site.here.list()) == []
        with pytest.raises(NoSuchReview):
            await site.here.answer("req-1", ACCEPTED)
        await site.close()

    virtual.run(go())


def test_a_request_that_is_too_large_is_not_held():
    async def go() -> None:
        site = Site(MemoryStore())
        outcome = await site.here.hold(replace(REVIEW, body=b'"' + b"x" * 1_048_576 + b'"'), max_waiting=1)
        assert (outcome.state, outcome.reason) == (State.NOT_HELD, "the request is too large to be held")

    virtual.run(go())


def test_an_attempt_that_does_not_exist_cannot_be_accepted():
    async def go() -> None:
        site = Site(MemoryStore())
        task = await site.hold()
        with pytest.raises(InvalidAnswer, match="there is no attempt 2: there are 2"):
            await site.here.answer("req-1", replace(ACCEPTED, attempt=2))
        await site.here.answer("req-1", ACCEPTED)
        assert await task == ACCEPTED
        await site.close()

    virtual.run(go())


class Away(MemoryStore):
    """A store that may be out of reach."""

    away = False

    async def review_put(self, held: Held, *, deadline: float, most: int, now: float) -> bool:
        if self.away:
            raise Unreachable("away")
        return await super().review_put(held, deadline=deadline, most=most, now=now)

    async def review_settle(self, id: str, outcome: bytes) -> bytes | None:
        if self.away:
            raise Unreachable("away")
        return await super().review_settle(id, outcome)

    async def review_outcomes(self, ids: Any) -> Any:
        if self.away:
            raise Unreachable("away")
        return await super().review_outcomes(ids)


def test_without_its_store_a_request_is_not_held_beyond_its_deadline(caplog):
    async def go() -> None:
        store = Away()
        site = Site(store)
        task = await site.hold()
        store.away = True
        refused = await site.here.hold(replace(REVIEW, id="req-2"), max_waiting=9)
        assert (refused.state, refused.reason) == (State.NOT_HELD, "the store does not answer")
        assert (await task).state is State.TIMED_OUT
        assert round(site.now() - NOW) == 600
        await site.close()

    virtual.run(go())
    assert caplog.messages == ["a review cannot be held: away"]


def test_an_outage_between_an_answer_and_its_request_is_waited_out():
    async def go() -> None:
        store = Away()
        site = Site(store)
        task = await site.hold()
        await site.there.answer("req-1", ACCEPTED)
        store.away = True
        await asyncio.sleep(10)
        assert not task.done()
        store.away = False
        assert await task == ACCEPTED
        await site.close()

    virtual.run(go())


async def test_reviews_survive_a_restart_of_the_router(tmp_path):
    """The request is gone with its connection, but what it was and who settled it is known."""
    store = FileStore.open(tmp_path / "journal")
    held = Held("req-1", review.summary(REVIEW), review.pack(REVIEW), None)
    await store.review_put(held, deadline=REVIEW.deadline, most=1, now=NOW)
    await store.close()
    again = FileStore.open(tmp_path / "journal")
    desk = ReviewDesk(again, lambda: NOW + 5)
    assert list(await desk.list()) == [review.summary(REVIEW)]
    assert await desk.answer("req-1", ACCEPTED) == Shown(REVIEW, ACCEPTED)
    await again.close()
