"""A constant load on every fleet, as its routers would tell a real Prometheus of it.

Played routers serve no metrics, so one page tells the counters of all of them; the product's own recording rules make
signals of them, which the operator asks for each minute. Fleets carry different loads, so that some plans stand on
their minimum and others above it. The hours before are filled in, since a forecast that has just begun learns how good
it is, and moves.
"""

import http.server
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Self

from heterofleet.metrics import rules
from testbed.prometheus import PrometheusServer, targets

HISTORY_SECONDS: Final = 3 * 3600
SCRAPE_SECONDS: Final = 15
RATE_SECONDS: Final = 120
"""Window of the recording rules' rates."""
ROUTERS_A_FLEET: Final = 2
PROMPT_TOKENS: Final = 300
COMPLETION_TOKENS: Final = 150
PLAN_REQUESTS_PER_SECOND: Final = 0.05
ACT_REQUESTS_PER_SECOND: Final = (5.0, 60.0, 110.0, 130.0)
"""Of one fleet after the other."""

_R: Final = "heterofleet_router_"


def page(names: list[str], namespace: str, seconds: float) -> str:
    """The exposition of the fleets' routers, `seconds` after they began."""
    by_name: dict[str, list[str]] = {}
    for index, name in enumerate(names):
        for router in range(ROUTERS_A_FLEET):
            pod = f'namespace="{namespace}",fleet="{name}",pod="{name}-router-{router}"'
            for metric, labels, value in _counters(index, seconds / ROUTERS_A_FLEET):
                by_name.setdefault(metric, []).append(f"{metric}{{{pod}{labels}}} {value:.3f}")
    return "".join(
        f"# TYPE {metric} {'counter' if metric.endswith('_total') else 'gauge'}\n" + "\n".join(lines) + "\n"
        for metric, lines in by_name.items()
    )


def _counters(index: int, seconds: float) -> Iterator[tuple[str, str, float]]:
    """Name, labels and value of what a router of that fleet tells."""
    yield f"{_R}connections", "", 1.0
    for request_class, tier, rate in (("plan", "large", PLAN_REQUESTS_PER_SECOND), ("act", "small", _act(index))):
        requests, of_class = rate * seconds, f',class="{request_class}"'
        of_tier = f'{of_class},tier="{tier}"'
        yield f"{_R}offered_total", of_class, requests
        yield f"{_R}requests_total", f'{of_tier},outcome="ok"', requests
        yield f"{_R}prompt_tokens_total", of_tier, requests * PROMPT_TOKENS
        yield f"{_R}completion_tokens_total", of_tier, requests * COMPLETION_TOKENS


def history(names: Iterable[str], namespace: str, until: int) -> str:
    """What the recording rules would have made of the last hours, as OpenMetrics; `until` is in seconds."""
    lines = []
    kinds = ((rules.OFFERED_PROMPT, PROMPT_TOKENS), (rules.OFFERED_COMPLETION, COMPLETION_TOKENS))
    for metric, tokens in kinds:
        lines.append(f"# TYPE {metric} gauge")
        for index, name in enumerate(names):
            for request_class, rate in (("plan", PLAN_REQUESTS_PER_SECOND), ("act", _act(index))):
                labels = f'namespace="{namespace}",fleet="{name}",class="{request_class}"'
                value = f"{metric}{{{labels}}} {rate * tokens:.3f}"
                lines += [f"{value} {at}" for at in range(until - HISTORY_SECONDS, until, 60)]
    return "\n".join(lines)


def _act(index: int) -> float:
    return ACT_REQUESTS_PER_SECOND[index % len(ACT_REQUESTS_PER_SECOND)]


class Flow:
    """Serves the page, and a Prometheus that scrapes it, while the block lasts; `url` is Prometheus'.

    The load of all fleets that there will be flows from the first, so that none begins with half a rate.
    """

    def __init__(self, folder: Path, namespace: str, names: list[str]) -> None:
        self._began = began = time.monotonic()

        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                text = page(names, namespace, time.monotonic() - began).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                """A scrape is no news."""

        self._page = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        job = targets("heterofleet-routers", [f"127.0.0.1:{self._page.server_port}"]) | {"honor_labels": True}
        self._prometheus = PrometheusServer(
            folder, scrapes=[job], rules=rules.file(), interval=f"{SCRAPE_SECONDS}s", lookback="5m"
        )
        self._prometheus.backfill(history(names, namespace, int(time.time()) // 60 * 60))
        self.url = self._prometheus.url
        self._thread = threading.Thread(target=self._page.serve_forever, name="the routers' metrics", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._prometheus.start()
        return self

    def settle(self) -> None:
        """Wait until every rate is one of its whole window."""
        time.sleep(max(0.0, RATE_SECONDS + 2 * SCRAPE_SECONDS - (time.monotonic() - self._began)))

    def __exit__(self, *_: object) -> None:
        self._prometheus.stop()
        self._page.shutdown()
        self._page.server_close()
