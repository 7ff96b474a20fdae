"""Shows tables and texts as wide as they may be: the terminal's width for a person, no limit for a pipe."""

import io
import sys
from typing import IO, Final

from rich.console import Console, Group, RenderableType

_WIDEST: Final = 10_000
"""Of what is written to a pipe, where nothing needs to be cut."""


def console(stream: IO[str] | None = None, width: int | None = None) -> Console:
    """A console that obeys NO_COLOR and TERM, and shows text as it is: no markup, emoji or guesses at numbers."""
    return Console(file=stream or sys.stdout, width=width, highlight=False, markup=False, emoji=False)


def show(screen: Console, content: RenderableType) -> None:
    """Print as wide as `screen` is, or without a limit where it is no terminal."""
    screen.file.write(_printed(screen, content) if screen.is_terminal else text(content))
    screen.file.flush()


def text(content: RenderableType) -> str:
    """What a pipe gets: 80 columns would cut the sentences that scripts search for."""
    return _printed(console(io.StringIO(), _WIDEST), content)


def _printed(screen: Console, content: RenderableType) -> str:
    """Without the blanks that pad lines; those of tables that are too wide are left to the terminal to wrap."""
    with screen.capture() as captured:
        # A text that is printed by itself would lose that it must not be wrapped.
        screen.print(Group(content), crop=False)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())
