"""Draws the panels over the loopback data centre: `PYTHONPATH=operator:tests python -m metrics.preview PNG`.

It is a preview, by matplotlib and not by Grafana: the same expressions, titles and order, and none of Grafana's looks.
"""

import asyncio
import json
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot

from metrics import loopback, test_dashboard
from testbed.prometheus import PrometheusServer

SECONDS: Final = 45
COLUMNS: Final = 3
INCHES: Final = (5.0, 2.6)


def ranged(server: PrometheusServer, target: dict[str, Any]) -> dict[str, list[tuple[float, float]]]:
    """The lines of one query since the data centre began, by what their legend says."""
    now = time.time()
    query = urllib.parse.urlencode(
        {"query": test_dashboard.filled(target["expr"]), "start": now - SECONDS, "end": now, "step": 1}
    )
    with urllib.request.urlopen(f"{server.url}/api/v1/query_range?{query}", timeout=10) as answer:
        found = json.load(answer)["data"]["result"]
    lines = {}
    for series in found:
        legend = target["legendFormat"]
        for label, value in series["metric"].items():
            legend = legend.replace(f"{{{{{label}}}}}", value)
        lines[legend] = [(float(at) - now, float(value)) for at, value in series["values"]]
    return lines


async def observed(folder: Path) -> list[tuple[str, dict[str, list[tuple[float, float]]]]]:
    """Each panel's title and lines, after some traffic."""
    panels = [p for p in json.loads(test_dashboard.DASHBOARD.read_text("utf-8"))["panels"] if p["type"] != "row"]
    async with loopback.scraped(folder) as (router, server):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            await test_dashboard.traffic(router)
            await asyncio.sleep(0.2)
        return [
            (p["title"], {k: v for t in p["targets"] for k, v in (await asyncio.to_thread(ranged, server, t)).items()})
            for p in panels
        ]


def draw(panels: list[tuple[str, dict[str, list[tuple[float, float]]]]], path: Path) -> None:
    rows = -(-len(panels) // COLUMNS)
    figure, axes = pyplot.subplots(rows, COLUMNS, figsize=(INCHES[0] * COLUMNS, INCHES[1] * rows), squeeze=False)
    for axis, (title, lines) in zip(axes.flat, panels, strict=False):
        axis.set_title(title, fontsize=9, loc="left")
        for legend, points in lines.items():
            axis.plot(*zip(*points, strict=True), label=legend, linewidth=1)
        axis.tick_params(labelsize=6)
        if lines:
            axis.legend(fontsize=5, loc="upper left", ncols=2)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    figure.suptitle(
        "Preview (matplotlib) of the Grafana dashboard; loopback data centre, 60 times as fast", fontsize=10
    )
    figure.tight_layout(rect=(0, 0, 1, 0.98))
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        draw(asyncio.run(observed(Path(folder))), Path(sys.argv[1]))
