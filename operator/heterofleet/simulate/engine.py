"""One engine as a queue: continuous batching with chunked prefill and a paged KV cache, event by event.

Pure: the time is an argument, so traces run through it in virtual time and the simulated server in real time. What is
modelled is vLLM's scheduler (v1/core/sched/scheduler.py, docs/design/prefix_caching.md), step by step:

    1. each sequence that decodes takes one token of the step's budget (max_num_batched_tokens) and one of KV cache;
       when the cache is full the sequence that came last is preempted: its cache goes, it will be computed anew
    2. prefills under way take what is left of the budget, in the order of their start
    3. while nothing was preempted, waiting sequences start in the order of arrival (or of priority), as long as
       max_num_seqs, the budget and the cache allow; blocks that the prefix cache knows need no prefill
    4. the step takes profile.seconds(...); at its end prefills that are done give their first token, and each decoding
       sequence its next

The cache of a prompt is taken whole when its prefill starts (vLLM: scheduler_reserve_full_isl), so only decoding can
run out of it. While a batch is unchanged its steps are not walked through (`steps`): one jump leads to the first finish
or to a full cache; it is cut short at the end of the step in which somebody arrives or leaves.

An arrival at the very end of a step is too late for the next one. How often `advance` is called changes no result.
"""

import heapq
from collections.abc import Hashable, Iterator
from typing import NamedTuple

from heterofleet.simulate.events import (
    Arrival,
    Event,
    Finished,
    FirstToken,
    Load,
    Preempted,
    Started,
    Tokens,
    Totals,
)
from heterofleet.simulate.kvcache import KvCache
from heterofleet.simulate.profile import Profile
from heterofleet.simulate.sequence import Sequence
from heterofleet.simulate.steps import Steps


class Refused(ValueError):
    """A sequence that this engine cannot take: it would never fit, its name is in use, or the engine drains."""


class _Chunk(NamedTuple):
    """A part of a prefill that a step computes."""

    sequence: Sequence
    tokens: int


class _Run(NamedTuple):
    """What the engine does until its batch changes: `decodes` sequences get a token in each step of `steps`.

    A run with chunks of prefill has one step, since the next one is made of other chunks.
    """

    steps: Steps
    decodes: int
    chunks: list[_Chunk]


class Engine:
    """The state of one engine. Calls must come with times that do not fall."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._now = float("-inf")
        self._order = 0
        self._steps = 0
        self._draining = False
        self._waiting: list[Sequence] = []
        self._known: dict[Hashable, Sequence] = {}
        self._running: dict[Hashable, Sequence] = {}
        self._prefilling: dict[Hashable, Sequence] = {}
        self._watched: dict[Hashable, Sequence] = {}
        self._finishes: list[tuple[int, Sequence]] = []
        self._leaving: dict[Hashable, Sequence] = {}
        self._run: _Run | None = None
        self._events: list[Event] = []
        self._cache = KvCache(profile)
        self._read = 0
        self._prompt = self._prefilled = self._generated = self._preemptions = 0

    @property
    def idle(self) -> bool:
        """Nothing runs and nothing waits."""
        return not self._known

    @property
    def draining(self) -> bool:
        return self._draining

    def submit(self, now: float, *arrivals: Arrival) -> None:
        """Take sequences that arrive together. Raises Refused, and then takes none of them."""
        self._catch_up(now)
        for arrival in arrivals:
            self._check(arrival)
        if len({arrival.request for arrival in arrivals}) < len(arrivals):
            raise Refused("two sequences of one name")
        for arrival in arrivals:
            key = (arrival.priority if self.profile.heeds_priority else 0, self._order)
            self._order += 1
            sequence = Sequence(arrival, key)
            self._known[arrival.request] = sequence
            heapq.heappush(self._waiting, sequence)
            if self._waiting[0] is sequence and len(self._running) < self.profile.max_num_seqs:
                self._cut_short()
        if self._run is None:
            self._begin(now)

    def abort(self, now: float, request: Hashable) -> None:
        """Let a sequence go: at once if it waits, at the end of the step under way if it runs, never if it is done."""
        self._catch_up(now)
        sequence = self._known.get(request)
        if sequence is None or sequence.gone:
            return
        sequence.gone = True
        if request in self._running:
            self._leaving[request] = sequence
            self._cut_short()
            return
        del self._known[request]
        self._events.append(Finished(request, now, aborted=True))
        if self._waiting[0] is sequence:
            self._cut_short()
        while self._waiting and self._waiting[0].gone:
            heapq.heappop(self._waiting)

    def drain(self) -> None:
        """Take nothing new; what was taken will finish."""
        self._draining = True

    def forget_prefixes(self, now: float) -> None:
        """Empty the prefix cache of what nobody uses."""
        self._catch_up(now)
        self._cache.forget()

    def next_event(self) -> float | None:
        """When `advance` has something to say next; None as long as nothing arrives."""
        if self._events:
            return self._now
        if self._run is None:
            return None
        steps = self._run.steps
        return steps.end(steps.done(self._now) + 1) if self._watched and steps.count > 1 else steps.over

    def advance(self, now: float) -> list[Event]:
        """Let the time pass, and return what happened since the last call, by time."""
        self._catch_up(now)
        if self._watched and self._run is not None and self._run.steps.count > 1:
            done = self._run.steps.done(now)
            if done:
                self._report(self._steps + done, self._run.steps.end(done))
        events, self._events = self._events, []
        return events

    def load(self) -> Load:
        """What is held at the time of the last call."""
        running, grown = len(self._running), self._grown()
        # What a run has grown into is taken from the idle prefixes at its end, all at once.
        kept = min(self._cache.kept, self._cache.spare - grown)
        return Load(running, len(self._known) - running, self._cache.held + grown, kept)

    def totals(self) -> Totals:
        """What was done until the time of the last call."""
        generated = self._generated + self._grown()
        cache = self._cache
        return Totals(self._prompt, self._prefilled, generated, cache.queries, cache.hits, self._preemptions)

    def _grown(self) -> int:
        """Tokens that the run under way has decoded so far."""
        return self._run.decodes * self._run.steps.done(self._now) if self._run else 0

    def _check(self, arrival: Arrival) -> None:
        if self._draining:
            raise Refused("the engine drains")
        if arrival.prompt_tokens < 1 or arrival.output_tokens < 1:
            raise Refused(f"{arrival.request}: a sequence has at least one token of prompt and one of output")
        if arrival.prompt_tokens + arrival.output_tokens > self.profile.kv_tokens:
            raise Refused(f"{arrival.request}: longer than the KV cache of {self.profile.kv_tokens} tokens")
        if arrival.request in self._known:
            raise Refused(f"{arrival.request}: a sequence of this name is under way")

    def _catch_up(self, now: float) -> None:
        """Complete all steps that end by now, and begin the next ones."""
        if now < self._now:
            raise ValueError(f"time went back from {self._now} to {now}")
        self._now = now
        while self._run is not None and self._run.steps.over <= now:
            self._complete(self._run)

    def _cut_short(self) -> None:
        """Let the run end with the step that is under way: the batch changes then."""
        if self._run is not None:
            self._run.steps.cut(self._now)

    def _complete(self, run: _Run) -> None:
        at = run.steps.over
        grown = run.decodes * run.steps.count
        self._steps += run.steps.count
        self._cache.alone += grown
        self._read += grown
        self._generated += grown
        self._report(self._steps, at)
        self._finish_decoded(at)
        for chunk in run.chunks:
            self._finish_chunk(chunk, at)
        for sequence in self._leaving.values():
            if self._running.get(sequence.arrival.request) is sequence:
                self._leave(sequence, at, aborted=True)
        self._leaving.clear()
        self._cache.shrink()
        self._run = None
        self._begin(at)

    def _report(self, steps: int, at: float) -> None:
        for request, sequence in self._watched.items():
            fresh = steps - sequence.reported
            if fresh:
                sequence.reported = steps
                self._events.append(Tokens(request, at, fresh))

    def _finish_decoded(self, at: float) -> None:
        while self._finishes and self._finishes[0][0] <= self._steps:
            finish, sequence = heapq.heappop(self._finishes)
            if sequence.finish == finish:
                self._leave(sequence, at, aborted=False)

    def _finish_chunk(self, chunk: _Chunk, at: float) -> None:
        sequence, arrival = chunk.sequence, chunk.sequence.arrival
        sequence.computed += chunk.tokens
        self._prefilled += chunk.tokens
        if sequence.computed < sequence.length:
            return
        del self._prefilling[arrival.request]
        self._cache.share(sequence.holding, arrival.blocks, sequence.length)
        if not sequence.made:
            self._prompt += arrival.prompt_tokens
            self._events.append(FirstToken(arrival.request, at))
        elif arrival.watched:
            self._events.append(Tokens(arrival.request, at, 1))
        sequence.made += 1
        self._generated += 1
        sequence.joined = self._steps
        sequence.finish = self._steps + arrival.output_tokens - sequence.made
        self._read += sequence.length
        if sequence.made == arrival.output_tokens:
            self._leave(sequence, at, aborted=False)
            return
        heapq.heappush(self._finishes, (sequence.finish, sequence))
        if arrival.watched:
            sequence.reported = self._steps
            self._watched[arrival.request] = sequence

    def _leave(self, sequence: Sequence, at: float, *, aborted: bool) -> None:
        request, blocks = sequence.arrival.request, sequence.arrival.blocks
        del self._known[request]
        self._give_up(sequence, blocks)
        self._events.append(Finished(request, at, aborted))

    def _give_up(self, sequence: Sequence, blocks: tuple[int, ...] = ()) -> None:
        """Take a sequence out of the batch; of its `blocks` those that are full of computed tokens are kept."""
        request, holding = sequence.arrival.request, sequence.holding
        del self._running[request]
        self._watched.pop(request, None)
        if self._prefilling.pop(request, None) is not None:
            self._cache.give_back(holding, 0)
            return
        decoded = self._steps - sequence.joined
        held = sequence.length + decoded
        full = held // self.profile.block_tokens
        self._cache.give_back(holding, decoded, blocks[len(holding.pinned) : full])
        self._read -= held
        sequence.made += decoded
        sequence.finish = -1

    def _begin(self, at: float) -> None:
        """Decide what the steps from here on compute."""
        preempted = self._make_room(at)
        budget = self.profile.max_num_batched_tokens - self._decodes
        chunks: list[_Chunk] = []
        for sequence in self._prefilling.values():
            tokens = min(sequence.length - sequence.computed, budget)
            if tokens > 0:
                chunks.append(_Chunk(sequence, tokens))
                budget -= tokens
        if not preempted:
            chunks.extend(self._admit(at, budget))
        decodes = self._decodes
        if not (chunks or decodes):
            return
        steps = 1 if chunks or preempted else self._unchanged_steps(decodes)
        prefill = sum(chunk.tokens for chunk in chunks)
        seconds = self.profile.seconds(prefill, decodes, self._read)
        self._run = _Run(Steps(at, steps, seconds, self.profile.kv_token_seconds * decodes), decodes, chunks)

    @property
    def _decodes(self) -> int:
        return len(self._running) - len(self._prefilling)

    def _unchanged_steps(self, decodes: int) -> int:
        while self._finishes[0][1].finish != self._finishes[0][0]:
            heapq.heappop(self._finishes)
        return min(self._finishes[0][0] - self._steps, self._cache.spare // decodes)

    def _make_room(self, at: float) -> bool:
        """Preempt until each decoding sequence can have one more token."""
        preempted = False
        while self._cache.spare < self._decodes:
            self._preempt(self._last_started(), at)
            preempted = True
        return preempted

    def _last_started(self) -> Sequence:
        if self.profile.heeds_priority:
            return max(self._running.values())
        return self._running[next(reversed(self._running))]

    def _preempt(self, sequence: Sequence, at: float) -> None:
        self._give_up(sequence)
        sequence.length = sequence.arrival.prompt_tokens + sequence.made
        sequence.computed = 0
        self._preemptions += 1
        heapq.heappush(self._waiting, sequence)
        self._events.append(Preempted(sequence.arrival.request, at))

    def _admit(self, at: float, budget: int) -> Iterator[_Chunk]:
        """Start waiting sequences as long as there is a place, budget and cache."""
        while self._waiting and budget > 0 and len(self._running) < self.profile.max_num_seqs:
            sequence = self._waiting[0]
            if sequence.gone:
                heapq.heappop(self._waiting)
                continue
            arrival = sequence.arrival
            cached = self._cache.take(sequence.holding, arrival.blocks, sequence.length, self._decodes)
            if cached is None:
                return
            heapq.heappop(self._waiting)
            sequence.computed = cached
            self._running[arrival.request] = self._prefilling[arrival.request] = sequence
            self._events.append(Started(arrival.request, at, cached))
            tokens = min(sequence.length - cached, budget)
            budget -= tokens
            yield _Chunk(sequence, tokens)
