"""One sequence in the engine, from its arrival to its last token."""

from heterofleet.simulate.events import Arrival
from heterofleet.simulate.kvcache import Holding


class Sequence:
    """One sequence and how far it is.

    `length` tokens are in the cache once its prefill is done, `computed` are now; `made` tokens of output were there
    when its last prefill was done, at decode step `joined`. `finish` is the decode step that gives its last token.
    """

    __slots__ = ("arrival", "computed", "finish", "gone", "holding", "joined", "key", "length", "made", "reported")

    def __init__(self, arrival: Arrival, key: tuple[int, int]) -> None:
        self.arrival = arrival
        self.key = key
        self.length = arrival.prompt_tokens
        self.holding = Holding()
        self.made = self.computed = self.joined = self.reported = 0
        self.finish = -1
        self.gone = False

    def __lt__(self, other: "Sequence") -> bool:
        return self.key < other.key
