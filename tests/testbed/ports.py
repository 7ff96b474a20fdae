"""Chooses free TCP ports on loopback for several programs that are started a moment later."""

import contextlib
import random
import socket

# Below the range from which the kernel takes the ports of outgoing connections, so that none of those can
# take a chosen port before its program listens on it.
_RANGE = range(20_000, 32_000)


def free(count: int) -> list[int]:
    """Distinct ports that nothing listens on now; random, so that test sessions started at once rarely meet."""
    chosen: list[int] = []
    with contextlib.ExitStack() as held:
        while len(chosen) < count:
            listener = held.enter_context(socket.socket())
            try:
                listener.bind(("127.0.0.1", random.choice(_RANGE)))
            except OSError:  # In use: draw again.
                continue
            chosen.append(listener.getsockname()[1])
    return chosen
