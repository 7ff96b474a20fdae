"""A constant load on every fleet, as its routers would tell a real Prometheus of it.

Played routers serve no metrics, so one page tells the counters of all of them; the product's own recording rules make
signals of them, which the operator asks for each minute. Fleets carry different loads, so that some plans stand on
their minimum and others above it.
"""

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Self

from heterofleet.metrics import rules
from testbed.prometheus import PrometheusServer, targets

SCRAPE_SECONDS: Final = 15
ROUTERS_A_FLEET: Final = 2
PROMPT_TOKENS: Final = 300
COMPLETION_TOKENS: Final = 150
PLAN_REQUESTS_PER_SECOND: Final = 0.05
ACT_REQUESTS_PER_SECOND: Final = (1.0, 4.0, 7.0, 10.0)
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
    act = ACT_REQUESTS_PER_SECOND[index % len(ACT_REQUESTS_PER_SECOND)]
    yield f"{_R}connections", "", 1.0
    for request_class, tier, rate in (("plan", "large", PLAN_REQUESTS_PER_SECOND), ("act", "small", act)):
        requests, of_class = rate * seconds, f',class="{request_class}"'
        of_tier = f'{of_class},tier="{tier}"'
        yield f"{_R}offered_total", of_class, requests
        yield f"{_R}requests_total", f'{of_tier},outcome="ok"', requests
        yield f"{_R}prompt_tokens_total", of_tier, requests * PROMPT_TOKENS
        yield f"{_R}completion_tokens_total", of_tier, requests * COMPLETION_TOKENS


class Flow:
    """Serves the page, and a Prometheus that scrapes it, while the block lasts; `url` is Prometheus'."""

    def __init__(self, folder: Path, namespace: str, names: Callable[[], list[str]]) -> None:
        began = time.monotonic()

        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                text = page(names(), namespace, time.monotonic() - began).encode()
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
