"""Holds requests until a person, here or at another router, has settled their reviews.

The edge of `review` over a store. An answer that is given at this router wakes its request at once; those given at
others are asked for each half second, all in one exchange. A request is never held by a store that does not answer: it
waits for its deadline at most, by this router's own clock.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Final

from heterofleet.router import review
from heterofleet.router.review import Conflict, NoSuchReview, Outcome, Review, Shown, State
from heterofleet.router.stores import Held, Store, StoreError

_LOG = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.5


class ReviewDesk:
    """The reviews of a fleet, as one router works on them."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        """`clock` tells the Unix wall time in seconds."""
        self._store, self._clock = store, clock
        self._waiting: dict[str, asyncio.Future[Outcome]] = {}
        self._poll: asyncio.Task[None] | None = None
        self.leaving = False
        """Set while the router ends: what waits then was not given up by its client, and outlives the router."""

    async def hold(self, held: Review, *, max_waiting: int) -> Outcome:
        """Waits for the outcome; NotHeld at once where it cannot wait. A client that leaves takes its review along."""
        try:
            refused = await self._put(held, max_waiting)
            if refused is not None:
                return Outcome(State.NOT_HELD, self._clock(), reason=refused)
            return await self._wait(held)
        except asyncio.CancelledError:
            if not self.leaving:
                with contextlib.suppress(StoreError):
                    await self._store.review_remove(held.id)
            raise

    async def list(self) -> Sequence[bytes]:
        """The summaries of the reviews that wait, for `review.list_to_json`."""
        return await self._store.review_list(self._clock())

    async def show(self, id: str) -> Shown:
        """One review. Raises NoSuchReview."""
        held = await self._store.review_get(id)
        if held is None:
            raise NoSuchReview(f"there is no review {id}")
        outcome = None if held.outcome is None else review.unpack_outcome(held.outcome)
        return Shown(review.unpack(held.detail), outcome)

    async def answer(self, id: str, outcome: Outcome) -> Shown:
        """Settles a review with what `review.parse_answer` gave. Raises InvalidAnswer, NoSuchReview and Conflict."""
        shown = await self.show(id)
        review.check(shown.review, outcome)
        if self._clock() >= shown.review.deadline:
            # Whoever asked has the best attempt already; nobody may believe to have answered.
            standing = await self._settle(id, Outcome(State.TIMED_OUT, self._clock()))
        else:
            standing = await self._settle(id, outcome)
        if not standing.says_the_same(outcome):
            raise Conflict(standing)
        return Shown(shown.review, standing)

    async def close(self) -> None:
        """Ends the polling; requests that still wait are their owners' to cancel."""
        if self._poll is not None:
            self._poll.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._poll

    async def _put(self, held: Review, max_waiting: int) -> str | None:
        """Gives the review to the store; says why where that cannot be."""
        detail = review.pack(held)
        if len(detail) > review.MAX_DETAIL_BYTES:
            return "the request is too large to be held"
        shown = Held(held.id, review.summary(held), detail, None)
        try:
            put = await self._store.review_put(shown, deadline=held.deadline, most=max_waiting, now=self._clock())
        except StoreError as exc:
            _LOG.warning("a review cannot be held: %s", exc)
            return "the store does not answer"
        return None if put else f"as many reviews wait as may: {max_waiting}"

    async def _settle(self, id: str, outcome: Outcome) -> Outcome:
        packed = await self._store.review_settle(id, review.pack_outcome(outcome))
        if packed is None:
            raise NoSuchReview(f"there is no review {id}")
        standing = review.unpack_outcome(packed)
        self._wake(id, standing)
        return standing

    def _wake(self, id: str, outcome: Outcome) -> None:
        future = self._waiting.get(id)
        if future is not None and not future.done():
            future.set_result(outcome)

    async def _wait(self, held: Review) -> Outcome:
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[held.id] = future
        if self._poll is None or self._poll.done():
            self._poll = asyncio.create_task(self._ask())
        try:
            async with asyncio.timeout(held.deadline - self._clock()):
                return await future
        except TimeoutError:
            return await self._time_out(held.id)
        finally:
            del self._waiting[held.id]

    async def _time_out(self, id: str) -> Outcome:
        """An answer that came in the last moment, at another router, stands."""
        late = Outcome(State.TIMED_OUT, self._clock())
        try:
            return await self._settle(id, late)
        except (StoreError, NoSuchReview):
            return late

    async def _ask(self) -> None:
        """Looks for answers given at other routers, as long as any request waits."""
        while self._waiting:
            await asyncio.sleep(POLL_SECONDS)
            try:
                outcomes = await self._store.review_outcomes(list(self._waiting))
            except StoreError:
                # It is asked again; what waits has its deadline, and `spend` says that the store is away.
                continue
            for id, packed in outcomes.items():
                self._wake(id, review.unpack_outcome(packed))
