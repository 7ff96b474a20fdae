"""How a chapter speaks: numbered steps, the commands a user would type, what changed, and what was found wrong."""

import shlex
import sys
import time
from collections.abc import Callable
from typing import TypeVar

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

T = TypeVar("T")

POLL_SECONDS = 0.2


class StepFailed(Exception):
    """A step showed other than it said; the demo ends with it."""


class Stage:
    """Prints a chapter and keeps its clock."""

    def __init__(self, title: str) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._started = time.monotonic()
        self._step = 0
        self._shown: list[str] = []
        self._console.rule(f"[bold]{title}")

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def step(self, sentence: str) -> None:
        """Begin a step."""
        self._step += 1
        self._console.print(f"\n[bold cyan]{self._step}. {sentence}[/] [dim]({self.seconds:.0f} s)[/]")

    def command(self, *words: str) -> None:
        """Show the command that a user would type here."""
        self._console.print(f"   [green]$ {shlex.join(words)}[/]")

    def say(self, sentence: str) -> None:
        self._console.print(f"   {sentence}")

    def note(self, sentence: str) -> None:
        self._console.print(f"   [dim]{sentence}[/]")

    def show(self, text: str) -> None:
        """Show a program's output, indented."""
        for line in text.rstrip().splitlines():
            self._console.print(f"   {line}", markup=False)

    def table(self, table: Table) -> None:
        """Show a table, indented."""
        self._console.print(Padding(table, (0, 0, 0, 3)))

    def proved(self, sentence: str) -> None:
        """What the step has shown, for the summary."""
        self._shown.append(sentence)
        self._console.print(f"   [bold green]ok[/] {sentence}")

    def until(self, what: str, look: Callable[[], T | None], *, within: float, line: Callable[[], str]) -> T:
        """Wait until `look` finds something, printing `line` whenever it changes.

        Raises StepFailed with the last line after `within` seconds.
        """
        ends = time.monotonic() + within
        last = ""
        while True:
            found = look()
            now = line()
            if now != last:
                self._console.print(f"   [dim]{self.seconds:5.1f} s[/]  {now}")
                last = now
            if found:
                return found
            if time.monotonic() > ends:
                raise StepFailed(f"{what}: not within {within:.0f} s; last seen: {last}")
            time.sleep(POLL_SECONDS)

    def summary(self, further: list[str]) -> None:
        """What was shown, and how to go on."""
        self._console.rule("[bold]What you have seen")
        for sentence in self._shown:
            self._console.print(f" [green]ok[/] {sentence}")
        self._console.print(f"\n {len(self._shown)} things shown in {self.seconds:.0f} s.")
        for sentence in further:
            self._console.print(f" {sentence}")

    def fail(self, error: Exception) -> None:
        sys.stdout.flush()
        self._console.print(f"\n[bold red]The demo stopped:[/] {error}")
