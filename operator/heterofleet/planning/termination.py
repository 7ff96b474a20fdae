"""Decides which part of a termination message is told: the sentence that says why, and what is kept beside it.

The supervisor writes its own sentence first and the last lines of the engine behind it. Of what was killed Kubernetes
has the end of its output instead, of which the end tells most.
"""

from typing import Final

KILLED: Final = 137
LONGEST_CAUSE: Final = 500


def cause(exit_code: int, message: str) -> str:
    """Why a container ended, in at most LONGEST_CAUSE characters."""
    first, _, more = message.partition("\n")
    return first[:LONGEST_CAUSE] if more and exit_code != KILLED else message[-LONGEST_CAUSE:]


def kept(exit_code: int, message: str, longest: int) -> str:
    """The cause and as many of the last characters as fit into `longest` in all."""
    first, _, more = message.partition("\n")
    room = longest - len(first) - 1
    if len(message) <= longest or exit_code == KILLED or not more or room <= 0:
        return message[-longest:]
    return f"{first}\n{more[-room:]}"
