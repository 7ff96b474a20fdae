"""What the prefix policy is worth: conversations on simulated engines, by policy and by how much their caches hold.

In virtual time: the engines are the queueing model that `heterofleet engine-sim` serves, and who gets a request is
decided by the router's own pure modules (`openai.parse`, `prefix.affinity_key`, `pick`), from real bodies. What engines
say of themselves is heard as seldom as by the router (`watchers.LOADS_SECONDS`). What is not in it is the router's own
time, which is a thousandth of what is measured here.

    working set     tokens of all blocks that all conversations have at their end, those they share once
    cache           of all engines together, as a multiple of the working set
    TTFT            from a request to its first token; a conversation goes on when its answer is whole and has been read
"""

import dataclasses
import heapq
import itertools
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from benchmarks.routerbench import bodies
from heterofleet.api.places import Affinity
from heterofleet.router import openai, pick, prefix
from heterofleet.router.watchers import LOADS_SECONDS
from heterofleet.simulate import profile, text
from heterofleet.simulate.engine import Engine
from heterofleet.simulate.events import Arrival, Finished, FirstToken

CONVERSATIONS: Final = 256
TURNS: Final = 8
ENGINES: Final = 8
PROFILE: Final = "h100-tp4-70b"
CACHES: Final = (0.25, 0.5, 1.0, 2.0, 4.0)
APPLICATIONS: Final = 8
SYSTEM_CHARACTERS: Final = 4096
USER_CHARACTERS: Final = (400, 2000)
ANSWER_TOKENS: Final = (50, 350)


@dataclass(frozen=True, slots=True)
class Turn:
    """One request of a conversation, as router and engine see it, and how long its reader thinks before it."""

    affinity: int
    work: float
    prompt_tokens: int
    output_tokens: int
    blocks: tuple[int, ...]
    think_seconds: float


class Seat:
    """An engine as the router's decisions see it; `cache_use` is as old as what the router last heard of it."""

    __slots__ = ("cache_use", "engine", "in_flight", "key", "load")

    def __init__(self, number: int, engine: Engine) -> None:
        self.key = f"10.0.0.{number}:8000"
        self.engine = engine
        self.in_flight = 0
        self.load = 0.0
        self.cache_use = 0.0

    def tell(self) -> None:
        """Says how full its cache is, as its metrics do."""
        self.cache_use = self.engine.load().kv_tokens / self.engine.profile.kv_tokens


Policy = Callable[[Turn], Seat]


def round_robin(seats: Sequence[Seat], _chance: random.Random) -> Policy:
    """One after the other, whatever they have to do."""
    turns = itertools.cycle(seats)
    return lambda _turn: next(turns)


def least_load(seats: Sequence[Seat], chance: random.Random) -> Policy:
    """Whoever has least to do."""
    return lambda _turn: pick.least_load(seats, chance)


def prefix_affine(seats: Sequence[Seat], _chance: random.Random) -> Policy:
    """The shipped policy of the large tier."""
    ring = pick.Ring(seat.key for seat in seats)
    bound = Affinity().load_bound
    return lambda turn: pick.affine(ring, turn.affinity, seats, bound, turn.work)


POLICIES: Final = {"round robin": round_robin, "least load": least_load, "prefix": prefix_affine}


def script(seed: int, think_seconds: float, conversations: int = CONVERSATIONS, turns: int = TURNS) -> list[list[Turn]]:
    """What all conversations say, whoever answers them, and how long their readers think in the mean."""
    chance = random.Random(seed)
    source = bodies.shuffled(seed)
    systems = [bodies.text(source, SYSTEM_CHARACTERS) for _ in range(APPLICATIONS)]
    thinking = [[chance.expovariate(1 / think_seconds) for _ in range(turns)] for _ in range(conversations)]
    return [
        _conversation(systems[number % APPLICATIONS], thinks, _source(seed, number), chance)
        for number, thinks in enumerate(thinking)
    ]


def working_set(conversations: Sequence[Sequence[Turn]]) -> int:
    """Tokens of all blocks that there are at the end."""
    blocks = {block for turns in conversations for block in turns[-1].blocks}
    return len(blocks) * profile.load()[PROFILE].block_tokens


def mean_ttft(conversations: Sequence[Sequence[Turn]], policy: str, cache: float, seed: int) -> float:
    """Mean seconds to the first token, over all turns of all conversations."""
    tokens = round(cache * working_set(conversations))
    return statistics.fmean(_Run(conversations, policy, tokens, seed).ttfts())


class _Run:
    """One pass through all conversations."""

    def __init__(self, conversations: Sequence[Sequence[Turn]], policy: str, cache_tokens: int, seed: int) -> None:
        kv_tokens = cache_tokens // ENGINES
        known = profile.load()[PROFILE]
        engine = dataclasses.replace(known, kv_tokens=kv_tokens, max_model_len=min(known.max_model_len, kv_tokens))
        self._conversations = conversations
        self._seats = [Seat(number, Engine(engine)) for number in range(ENGINES)]
        self._choose = POLICIES[policy](self._seats, random.Random(seed))
        self._due = [(turns[0].think_seconds, number, 0) for number, turns in enumerate(conversations)]
        heapq.heapify(self._due)
        self._under_way: dict[tuple[int, int], tuple[Seat, float]] = {}
        self._ttfts: list[float] = []
        self._told_next = 0.0

    def ttfts(self) -> list[float]:
        while self._due or self._under_way:
            now = min(self._next_event(), self._due[0][0] if self._due else float("inf"), self._told_next)
            for seat in self._seats:
                self._take_events(seat, now)
            if now == self._told_next:
                self._told_next += LOADS_SECONDS
                for seat in self._seats:
                    seat.tell()
            while self._due and self._due[0][0] <= now:
                _, number, turn = heapq.heappop(self._due)
                self._send(number, turn, now)
        return self._ttfts

    def _next_event(self) -> float:
        times = (seat.engine.next_event() for seat in self._seats)
        return min((at for at in times if at is not None), default=float("inf"))

    def _take_events(self, seat: Seat, now: float) -> None:
        for event in seat.engine.advance(now):
            match event:
                case FirstToken((int(number), int(turn)), at):
                    self._ttfts.append(at - self._under_way[number, turn][1])
                case Finished((int(number), int(turn)), at):
                    self._finish(number, turn, at)

    def _finish(self, number: int, turn: int, at: float) -> None:
        seat, _ = self._under_way.pop((number, turn))
        turns = self._conversations[number]
        seat.in_flight -= 1
        seat.load = seat.load - turns[turn].work if seat.in_flight else 0.0
        if turn + 1 < len(turns):
            heapq.heappush(self._due, (at + turns[turn + 1].think_seconds, number, turn + 1))

    def _send(self, number: int, turn: int, now: float) -> None:
        asked = self._conversations[number][turn]
        seat = self._choose(asked)
        seat.in_flight += 1
        seat.load += asked.work
        self._under_way[number, turn] = seat, now
        arrival = Arrival((number, turn), asked.prompt_tokens, asked.output_tokens, asked.blocks)
        seat.engine.submit(now, arrival)


def _conversation(
    system: str, thinking: Sequence[float], source: Callable[[int], str], chance: random.Random
) -> list[Turn]:
    messages = [{"role": "system", "content": system}]
    found = []
    for think_seconds in thinking:
        messages.append({"role": "user", "content": source(chance.randint(*USER_CHARACTERS))})
        output_tokens = chance.randint(*ANSWER_TOKENS)
        answer = source(output_tokens * text.TOKEN_CHARACTERS)
        found.append(_turn(messages, answer, output_tokens, think_seconds))
        messages.append({"role": "assistant", "content": answer})
    return found


def _turn(messages: Sequence[dict[str, str]], answer: str, output_tokens: int, think_seconds: float) -> Turn:
    body = orjson.dumps({"model": "plan", "messages": messages})
    request = openai.parse(openai.Operation.CHAT, body)
    prompt = "".join(f"<|{message.role}|>{message.text}" for message in request.messages) + "<|assistant|>"
    block_tokens = profile.load()[PROFILE].block_tokens
    return Turn(
        prefix.affinity_key(request, Affinity().block_characters),
        pick.weight(request.prompt_characters, request.max_tokens),
        text.count(prompt),
        output_tokens,
        text.blocks(prompt + answer, block_tokens),
        think_seconds,
    )


def _source(seed: int, number: int) -> Callable[[int], str]:
    """Texts of a conversation's own, by their length."""
    chance = random.Random(f"{seed} {number}")
    return lambda characters: "".join(chance.choices("abcdefghijklmnopqrstuvwxyz     ", k=characters))
