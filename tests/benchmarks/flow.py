"""A constant load on every fleet, as its routers would tell a real Prometheus of it.

Played routers serve no metrics, so one page tells the counters of all of them; the product's own recording rules make
signals of them, which the operator asks for each minute. Fleets carry different loads, so that some plans stand on
their minimum and others above it. The day before is filled in, since a forecast that has just begun learns how good
it is, and moves. So are the first minutes of what comes: rates over the pause until the first scrape would be low.
"""

import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from heterofleet.metrics import rules
from metrics.openmetrics import Text as OpenMetrics
from testbed.prometheus import PrometheusServer, targets

HISTORY_SECONDS: Final = 25 * 3600
SIGNAL_SECONDS: Final = 60
SCRAPE_SECONDS: Final = 15
COUNTED_SECONDS: Final = 600
"""Of the past that counters tell of, so that rates of five minutes are whole at once."""
AHEAD_SECONDS: Final = 600
"""That are written in advance, in steps of a scrape, beside which samples that are older than the last are taken."""
JOB: Final = "heterofleet-routers"
ROUTERS_A_FLEET: Final = 2
PROMPT_TOKENS: Final = 300
COMPLETION_TOKENS: Final = 150
PLAN_REQUESTS_PER_SECOND: Final = 0.05
ACT_REQUESTS_PER_SECOND: Final = (5.0, 60.0, 110.0, 130.0)
"""Of one fleet after the other."""

_R: Final = "heterofleet_router_"


Sample = tuple[str, dict[str, str], float]
"""Name, labels and value."""


def page(names: list[str], namespace: str, began: float, now: float) -> str:
    """The exposition at `now` of the fleets' routers, which began at `began`, both in seconds since the epoch.

    Each sample says when it is of: on a machine that is late to ask, rates would else be of the machine.
    """
    lines: list[str] = []
    for metric, labels, value in _samples(names, namespace, now - began):
        if not lines or not lines[-1].startswith(f"{metric}{{"):
            lines.append(f"# TYPE {metric} {'counter' if metric.endswith('_total') else 'gauge'}")
        written = ",".join(f'{name}="{value}"' for name, value in labels.items())
        lines.append(f"{metric}{{{written}}} {value:.3f} {now * 1000:.0f}")
    return "\n".join(lines) + "\n"


def _samples(names: list[str], namespace: str, seconds: float) -> list[Sample]:
    """What all routers tell, those of a name together."""
    told = [
        (metric, {"namespace": namespace, "fleet": name, "pod": f"{name}-router-{router}", **labels}, value)
        for index, name in enumerate(names)
        for router in range(ROUTERS_A_FLEET)
        for metric, labels, value in _told(index, seconds / ROUTERS_A_FLEET)
    ]
    return sorted(told, key=lambda sample: sample[0])


def _told(index: int, seconds: float) -> Iterator[Sample]:
    """What a router of that fleet tells."""
    yield f"{_R}connections", {}, 1.0
    for request_class, tier, rate in (("plan", "large", PLAN_REQUESTS_PER_SECOND), ("act", "small", _act(index))):
        requests, of_class = rate * seconds, {"class": request_class}
        of_tier = {**of_class, "tier": tier}
        yield f"{_R}offered_total", of_class, requests
        yield f"{_R}requests_total", {**of_tier, "outcome": "ok"}, requests
        yield f"{_R}prompt_tokens_total", of_tier, requests * PROMPT_TOKENS
        yield f"{_R}completion_tokens_total", of_tier, requests * COMPLETION_TOKENS


def history(names: list[str], namespace: str, instance: str, now: int) -> str:
    """The day before `now`, in seconds, and the minutes after it as OpenMetrics: the signals, and the last counters."""
    text = OpenMetrics()
    began, until = now - HISTORY_SECONDS, now + AHEAD_SECONDS
    moments, scrapes = range(began, until, SIGNAL_SECONDS), range(now - COUNTED_SECONDS, until, SCRAPE_SECONDS)
    kinds = ((rules.OFFERED_PROMPT, PROMPT_TOKENS), (rules.OFFERED_COMPLETION, COMPLETION_TOKENS))
    for metric, tokens in kinds:
        for index, name in enumerate(names):
            for request_class, rate in (("plan", PLAN_REQUESTS_PER_SECOND), ("act", _act(index))):
                labels = {"namespace": namespace, "fleet": name, "class": request_class}
                text.put(metric, [(at, rate * tokens) for at in moments], **labels)
    counted = [(at, _samples(names, namespace, at - began)) for at in scrapes]
    for place, (metric, labels, _) in enumerate(counted[0][1]):
        points = [(at, samples[place][2]) for at, samples in counted]
        text.put(metric, points, **labels, job=JOB, instance=instance)
    return str(text)


def _act(index: int) -> float:
    return ACT_REQUESTS_PER_SECOND[index % len(ACT_REQUESTS_PER_SECOND)]


class Flow:
    """Serves the page, and a Prometheus that scrapes it, while the block lasts; `url` is Prometheus'.

    The load of all fleets that there will be flows from the first, so that none begins with half a rate.
    """

    def __init__(self, folder: Path, namespace: str, names: list[str]) -> None:
        now = int(time.time())
        began = now - HISTORY_SECONDS

        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                text = page(names, namespace, began, time.time()).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                """A scrape is no news."""

        self._page = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        instance = f"127.0.0.1:{self._page.server_port}"
        job = targets(JOB, [instance]) | {"honor_labels": True}
        self._prometheus = PrometheusServer(
            folder, scrapes=[job], rules=rules.file(), interval=f"{SCRAPE_SECONDS}s", takes_older="30m"
        )
        self._prometheus.backfill(history(names, namespace, instance, now))
        self.url = self._prometheus.url
        self._thread = threading.Thread(target=self._page.serve_forever, name="the routers' metrics", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._prometheus.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._prometheus.stop()
        self._page.shutdown()
        self._page.server_close()
