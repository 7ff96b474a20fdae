"""Plays the kubelet of the control plane: what ended by itself is started again, as static pods are.

A scheduler or controller manager ends where it cannot renew its Lease, or where the API server is not healthy in time.
"""

import threading
from typing import Final, Self

from testbed.components import Components

EVERY_SECONDS: Final = 0.5


class Keeper:
    """Keeps components alive while the block lasts; `down` are those that shall not run."""

    def __init__(self, components: Components) -> None:
        self._components = components
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self.down: set[str] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(EVERY_SECONDS):
            for name in self._components.names():
                if name not in self.down and self._components.process(name) is None:
                    self._components.start(name)
