"""How far a simulation is: a bar for each stage on a terminal's stderr, nothing elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO


class Stages(Protocol):
    """Opens a bar of this name; what is returned is told the share that is done."""

    def stage(self, name: str) -> Callable[[float], None]: ...


class _Silent:
    def stage(self, name: str) -> Callable[[float], None]:
        del name
        return lambda _: None


@contextmanager
def shown(stream: TextIO) -> Iterator[Stages]:
    """Bars on `stream` as long as the context lasts; they go away with it."""
    if not stream.isatty():
        yield _Silent()
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415  slow to load

    from heterofleet.cli import terminal  # noqa: PLC0415

    columns = (TextColumn("{task.description:>12}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), console=terminal.console(stream), transient=True) as bars:

        class _Bars:
            def stage(self, name: str) -> Callable[[float], None]:
                bar = bars.add_task(name, total=1.0)
                return lambda share: bars.update(bar, completed=share)

        yield _Bars()
