"""How long an instance may take from its start to its first answer, before any start was measured.

Gives the startup probe its budget where `lifecycle.startupTimeoutSeconds` is not set. The prior is

    download + load + compile = weights / download rate + weights of one pod / load rate + a constant

and the budget several times that, since a probe that gives up early restarts a download that was going well.
"""

from math import ceil
from typing import Final

from heterofleet.planning import memory
from heterofleet.planning.catalogue import Facts
from heterofleet.planning.topology import Layout

UNKNOWN_BUDGET_SECONDS: Final = 3600

_DOWNLOAD_BYTES_PER_SECOND: Final = 250e6
"""A hub over a 2 Gbit/s share of a node's link; each node fetches the whole checkpoint."""

_LOAD_BYTES_PER_SECOND: Final = 1e9
"""Reading a local disk into the GPUs of one pod."""

_COMPILE_SECONDS: Final = 120
"""Process start, torch.compile, memory profiling and CUDA graphs."""

_MARGIN: Final = 3
_SHORTEST_SECONDS: Final = 600
_LONGEST_SECONDS: Final = 86_400


def seconds_prior(facts: Facts | None, layout: Layout, *, downloads: bool = True) -> float | None:
    """Expected time to the first answer; None if the size of the weights is not known."""
    total = memory.total_weight_bytes(facts) if facts is not None else None
    if total is None:
        return None
    download = total / _DOWNLOAD_BYTES_PER_SECOND if downloads else 0.0
    return download + total / layout.pods / _LOAD_BYTES_PER_SECOND + _COMPILE_SECONDS


def budget_seconds(facts: Facts | None, layout: Layout, *, downloads: bool = True) -> int:
    """Time after which a start counts as failed, in whole minutes."""
    prior = seconds_prior(facts, layout, downloads=downloads)
    if prior is None:
        return UNKNOWN_BUDGET_SECONDS
    return min(max(60 * ceil(_MARGIN * prior / 60), _SHORTEST_SECONDS), _LONGEST_SECONDS)
