"""Colours of a simulation's pictures, each with the name that a page may give another value in the dark."""

from dataclasses import asdict, dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Palette:
    """Hexadecimal colours; no two are alike, since a picture's colours are found again by their value."""

    ink: str
    muted: str
    grid: str
    demand: str
    forecast: str
    capacity: str
    late: str
    large: str
    small: str
    peer: str
    paper: str


LIGHT: Final = Palette(
    ink="#1d2433", muted="#667085", grid="#e4e7ec", demand="#2f6fde", forecast="#e8a317", capacity="#0f8a5f",
    late="#d92d3a", large="#5b4bd6", small="#1397a6", peer="#8a94a6", paper="#fefefe",
)  # fmt: skip

DARK: Final = Palette(
    ink="#e7eaf0", muted="#9aa3b5", grid="#2b3242", demand="#6ea0ff", forecast="#f2bd4b", capacity="#3fc08e",
    late="#ff6b74", large="#9a8cff", small="#45c7d6", peer="#7d879a", paper="#141823",
)  # fmt: skip


def variables(palette: Palette) -> str:
    """The colours as CSS custom properties."""
    return " ".join(f"--{name}: {value};" for name, value in asdict(palette).items())


def with_variables(svg: str) -> str:
    """A picture drawn in `LIGHT` whose colours are what the page says."""
    for name, value in asdict(LIGHT).items():
        svg = svg.replace(value, f"var(--{name})")
    return svg
