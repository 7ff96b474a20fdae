"""Where the model meets a clock: wakes an engine when it has something to say, and tells those who wait for it.

One timer at most, at the time of the engine's next event, and none while nothing is under way: an engine at rest costs
nothing. What is told late, since the process was busy, happened at its own time all the same, so that the queue's
behaviour does not depend on the machine that plays it.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from heterofleet.simulate.clock import PacedClock
from heterofleet.simulate.engine import Engine
from heterofleet.simulate.events import Arrival, Finished, FirstToken, Started, Tokens


class Times(Protocol):
    """Takes the times of a sequence when it is done; all are the process's seconds."""

    def observe(self, choice: "Choice", finished_at: float, *, aborted: bool) -> None: ...


class Choice:
    """One sequence of a request: how much of it is there, and when it was where."""

    __slots__ = (
        "cached_tokens", "finish", "first_at", "generation", "made", "output_tokens", "over", "prompt_tokens",
        "started_at", "submitted_at",
    )  # fmt: skip

    def __init__(self, generation: "Generation", prompt_tokens: int, output_tokens: int, finish: str) -> None:
        self.generation = generation
        self.prompt_tokens = prompt_tokens
        self.output_tokens = output_tokens
        self.finish = finish
        self.made = 0
        self.over = False
        self.cached_tokens = 0
        self.submitted_at = self.started_at = self.first_at = 0.0


class Generation:
    """The sequences of one request, and the one who waits for them."""

    __slots__ = ("_changed", "_waiter", "choices", "left", "watched")

    def __init__(self, watched: bool) -> None:
        self.watched = watched
        self.choices: list[Choice] = []
        self.left = 0
        self._changed = False
        self._waiter: asyncio.Future[None] | None = None

    async def change(self) -> None:
        """Wait until more is there than at the last call; of what is not watched, until all is there."""
        if not self._changed:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._changed = False

    def tell(self) -> None:
        """More is there."""
        self._changed = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Driver:
    """One engine in the process's time. Must be made inside the event loop that runs it."""

    def __init__(self, engine: Engine, clock: PacedClock, times: Times) -> None:
        self.engine = engine
        self.clock = clock
        self._times = times
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._idle: list[asyncio.Future[None]] = []

    def submit(self, generation: Generation, arrivals: Sequence[Arrival]) -> None:
        """Let the engine generate; every arrival is named by a choice of the generation."""
        now = self.clock.now()
        self.engine.submit(now, *arrivals)
        at = self.clock.at(now)
        for choice in generation.choices:
            choice.submitted_at = at
        generation.left = len(arrivals)
        self.pump()

    def abort(self, generation: Generation) -> None:
        """Let go of what is not done: nobody waits for it."""
        now = self.clock.now()
        for choice in generation.choices:
            if not choice.over:
                self.engine.abort(now, choice)
        self.pump()

    def pump(self) -> None:
        """Let the engine's time come up to the clock's, tell what happened, and set the timer anew."""
        changed: dict[Generation, None] = {}
        for event in self.engine.advance(self.clock.now()):
            choice: Choice = event.request  # type: ignore[assignment]  # as `submit` named it
            if isinstance(event, Tokens):
                choice.made += event.number
                changed[choice.generation] = None
            elif isinstance(event, FirstToken):
                choice.made += 1
                choice.first_at = self.clock.at(event.at)
                if choice.generation.watched:
                    changed[choice.generation] = None
            elif isinstance(event, Started):
                if not choice.started_at:
                    choice.started_at = self.clock.at(event.at)
                    choice.cached_tokens = event.cached_tokens
            elif isinstance(event, Finished):
                self._finish(choice, event, changed)
        for generation in changed:
            generation.tell()
        self._set_timer()

    def _finish(self, choice: Choice, event: Finished, changed: dict[Generation, None]) -> None:
        choice.over = True
        generation = choice.generation
        generation.left -= 1
        if not event.aborted:
            choice.made = choice.output_tokens
        if generation.watched or not generation.left:
            changed[generation] = None
        self._times.observe(choice, self.clock.at(event.at), aborted=event.aborted)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.engine.next_event()
        if due is not None:
            self._timer = self._loop.call_at(self.clock.at(due), self._wake)
        elif self._idle:
            for waiter in self._idle:
                if not waiter.done():
                    waiter.set_result(None)
            self._idle.clear()

    def _wake(self) -> None:
        self._timer = None
        self.pump()

    def run_at(self, rate: float) -> None:
        """Let the engine's time go on at another rate."""
        self.clock.run_at(rate)
        self._set_timer()

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        if not self.engine.idle:
            waiter = self._loop.create_future()
            self._idle.append(waiter)
            await waiter

    def stop(self) -> None:
        """Stop the timer; who waits, waits in vain."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
