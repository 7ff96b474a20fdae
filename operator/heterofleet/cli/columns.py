"""Tables without lines, as kubectl's: columns side by side, each as wide as its widest cell, nothing cut.

A thousand fleets are lines of text, for which the table of the terminal library takes ten times as long.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from rich.text import Text

_GAP: Final = "   "


class Cell(NamedTuple):
    text: str
    style: str = ""


class Column(NamedTuple):
    title: str
    cells: Sequence[Cell]
    right: bool = False

    @property
    def width(self) -> int:
        return max(len(self.title), *(len(cell.text) for cell in self.cells), 0)


def of(title: str, *cells: str, right: bool = False) -> Column:
    """A column of plain texts."""
    return Column(title, [Cell(text) for text in cells], right)


def width(columns: Sequence[Column]) -> int:
    """Columns of the terminal that the table needs."""
    return sum(column.width for column in columns) + len(_GAP) * (len(columns) - 1)


def table(columns: Sequence[Column]) -> Text:
    """The titles and one line for each row."""
    return Text("\n", no_wrap=True, overflow="ignore").join(_lines(columns))


def _lines(columns: Sequence[Column]) -> Iterator[Text]:
    widths = [column.width for column in columns]
    rows = [
        [Cell(column.title, "bold") for column in columns],
        *zip(*(column.cells for column in columns), strict=True),
    ]
    for row in rows:
        line = Text(end="")
        for column, room, cell in zip(columns, widths, row, strict=True):
            blanks = " " * (room - len(cell.text))
            line.append(_GAP if line else "")
            line.append(blanks if column.right else "")
            line.append(cell.text, cell.style or None)
            line.append("" if column.right else blanks)
        line.rstrip()
        yield line
