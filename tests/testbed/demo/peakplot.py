"""The picture of a replayed peak: what was asked for and foreseen over what was there, and the GPUs of both tiers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

_TIERS = {"large": "plan", "small": "act"}
_COLOURS = {"large": "#4053d3", "small": "#b51d14"}


@dataclass(frozen=True)
class Moment:
    """One minute; work in work tokens a second, by class, and instances by tier."""

    minute: int
    demand: Mapping[str, float]
    forecast: Mapping[str, float | None]
    planned: Mapping[str, int]
    ready: Mapping[str, int]
    gpus: Mapping[str, int]
    capacity: Mapping[str, float]

    def line(self) -> str:
        act = self.forecast["act"]
        foreseen = "-" if act is None else f"{act:5.0f}"
        return (
            f"{self.minute // 60:02d}:{self.minute % 60:02d}  act {self.demand['act']:5.0f} tokens/s,"
            f" at most {foreseen} forecast   small {self.ready['small']} of {self.planned['small']}"
            f"   large {self.ready['large']} of {self.planned['large']}"
        )


def draw(moments: Sequence[Moment], file: Path) -> Path:
    """Write the picture."""
    mpl.rcParams["font.size"] = 9
    figure = Figure(figsize=(9, 8), layout="constrained")
    above, below, gpus = figure.subplots(3, 1, sharex=True)
    hours = [moment.minute / 60 for moment in moments]
    for axes, tier in ((above, "small"), (below, "large")):
        name, colour = _TIERS[tier], _COLOURS[tier]
        ready = [moment.ready[tier] * moment.capacity[tier] for moment in moments]
        axes.step(hours, ready, where="post", color="#999999", label="carried by what is ready")
        axes.fill_between(hours, ready, step="post", color="#999999", alpha=0.2)
        axes.plot(hours, [moment.demand[name] for moment in moments], color=colour, label=f"{name} work that comes")
        foreseen = [moment.forecast[name] or float("nan") for moment in moments]
        axes.plot(hours, foreseen, color=colour, linestyle=":", label="forecast, at most")
        axes.set_ylabel("work tokens/s")
        axes.set_title(f"{name} work and the {tier} tier", loc="left")
        axes.set_ylim(0, 1.3 * axes.get_ylim()[1])  # Room for the legend above all lines.
        axes.legend(loc="upper left", frameon=False, ncols=3)
    gpus.stackplot(
        hours,
        [[moment.gpus[tier] for moment in moments] for tier in _TIERS],
        labels=list(_TIERS),
        colors=[_COLOURS[tier] for tier in _TIERS],
        alpha=0.6,
    )
    gpus.set_ylabel("GPUs")
    gpus.set_xlabel("time of day, h")
    gpus.set_title("GPUs held", loc="left")
    gpus.set_ylim(0, 1.3 * gpus.get_ylim()[1])
    gpus.legend(loc="upper left", frameon=False, ncols=2)
    figure.savefig(file, dpi=110)
    return file
