"""Writes series as OpenMetrics with time stamps, which promtool makes blocks of history from."""

from collections.abc import Iterable, Mapping

Points = Iterable[tuple[float, float]]
"""(seconds since the epoch, value), rising."""


class Text:
    """An exposition in the making."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._named: set[str] = set()

    def __str__(self) -> str:
        return "\n".join(self._lines)

    def put(self, name: str, points: Points, **labels: str) -> None:
        """One series; all series of a name follow each other."""
        if name not in self._named:
            self._named.add(name)
            self._lines.append(f"# TYPE {name} gauge")
        written = ",".join(f'{label}="{value}"' for label, value in labels.items())
        self._lines += [f"{name}{{{written}}} {value!r} {at:.0f}" for at, value in points]


def of(series: Mapping[str, Iterable[tuple[Mapping[str, str], Points]]]) -> str:
    """The text of all series, by name."""
    text = Text()
    for name, each in series.items():
        for labels, points in each:
            text.put(name, points, **labels)
    return str(text)
