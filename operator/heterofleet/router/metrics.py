"""Every metric of a router, by name (contracts.md, "Metrics"), and the collector that Prometheus reads them through.

Labels are enums, but for the endpoint of breaker and in-flight gauges, and for the tenant where that is asked for.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

from heterofleet.api.labels import Tier
from heterofleet.api.routing import RequestClass
from heterofleet.router.counts import Counter, Labels, Timing, gauge

PREFIX: Final = "heterofleet_router_"
SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120, 300)
TOKEN_SECONDS: Final = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5)


MOST_TENANTS: Final = 256
"""Tenants that series tell apart (`tenantMetrics`): each is two series in every router."""

OTHER_TENANT: Final = "other"


class Metrics:
    """The counters and histograms of one router."""

    def __init__(self) -> None:
        self.offered = Counter(f"{PREFIX}offered", "Requests that came, by class, before anything moved them.", "class")
        self.requests = Counter(
            f"{PREFIX}requests", "Requests that ended, by the tier that answered.", "class", "tier", "outcome"
        )
        self.escalations = Counter(f"{PREFIX}escalations", "Requests sent to the next tier.", "class", "reason")
        self.retries = Counter(f"{PREFIX}retries", "Further attempts at the same tier.", "class", "tier", "reason")
        self.adjustments = Counter(
            f"{PREFIX}adjustments", "Further attempts with changed parameters.", "class", "reason"
        )
        self.reviews = Counter(f"{PREFIX}reviews", "Answers held for a person.", "class", "outcome")
        self.fallbacks = Counter(f"{PREFIX}fallbacks", "Answers of another tier, or of the cache, for want of the own.",
                                 "class", "reason")  # fmt: skip
        self.prompt_tokens = Counter(f"{PREFIX}prompt_tokens", "Tokens of prompts.", "class", "tier")
        self.completion_tokens = Counter(f"{PREFIX}completion_tokens", "Tokens of answers.", "class", "tier")
        self.cache_hits = Counter(f"{PREFIX}cache_hits", "Answers given again.", "class", "cache")
        self.cache_checks = Counter(f"{PREFIX}cache_checks", "Hits that were answered anew to see if they were right.",
                                    "cache", "outcome")  # fmt: skip
        self.cost_usd = Counter(f"{PREFIX}cost_usd", "Cost of answers at posted prices, in USD.", "class", "tier")
        self.cost_all_large_usd = Counter(
            f"{PREFIX}cost_all_large_usd", "Cost of the same tokens at the large tier's price, in USD.", "class"
        )
        self.flaws = Counter(f"{PREFIX}flaws", "Answers that were judged bad.", "tier", "reason")
        self.comparisons = Counter(f"{PREFIX}comparisons", "Answers compared with another tier's.", "outcome")
        self.shadows = Counter(f"{PREFIX}shadows", "Copies of requests to a tier being tried.", "tier", "outcome")
        self.compliance = Counter(f"{PREFIX}compliance", "Matches of compliance rules.", "reason")
        self.tenant_cost_usd = Counter(f"{PREFIX}tenant_cost_usd", "Cost at posted prices, in USD.", "tenant")
        self.tenant_tokens = Counter(f"{PREFIX}tenant_tokens", "Tokens of prompts and answers.", "tenant")
        self.config_rejections = Counter(f"{PREFIX}config_rejections", "Configurations that were refused.")
        self.defects = Counter(f"{PREFIX}defects", "Requests that ended by a defect of the router itself.")
        self.request_seconds = Timing(
            f"{PREFIX}request_seconds", "Time from a request to the end of its answer.", SECONDS, "class", "tier"
        )
        self.time_to_first_token_seconds = Timing(
            f"{PREFIX}time_to_first_token_seconds", "Time from a request to the first piece of its stream.", SECONDS,
            "class", "tier",
        )  # fmt: skip
        self.shadow_seconds = Timing(
            f"{PREFIX}shadow_seconds", "Time of a copy's whole answer at a tier being tried.", SECONDS, "tier"
        )
        self.inter_token_seconds = Timing(
            f"{PREFIX}inter_token_seconds", "Time between two pieces of a stream.", TOKEN_SECONDS, "tier"
        )
        self._begin()

    def tenant(self, tenant: str) -> str:
        """The label of a tenant: its name, or that of all who come when so many are told apart already."""
        known = self.tenant_tokens.values
        return tenant if (tenant,) in known or len(known) < MOST_TENANTS else OTHER_TENANT

    def _begin(self) -> None:
        """What plans are made from is there from the start: of a series that begins at 5 no rate sees the first 5."""
        for name in RequestClass:
            self.offered.add(0, name)
            for tier in Tier:
                self.requests.add(0, name, tier, "ok")
                self.prompt_tokens.add(0, name, tier)
                self.completion_tokens.add(0, name, tier)

    def families(self) -> Iterator[Counter | Timing]:
        for value in vars(self).values():
            if isinstance(value, Counter | Timing):
                yield value


Gauges = Callable[[], Iterable[tuple[str, str, tuple[str, ...], dict[Labels, float]]]]
"""Gives name (without prefix), help, label names and values, as they are now."""


class Exposition(Collector):
    """Everything that one router shows at /metrics."""

    def __init__(self, metrics: Metrics, namespace: str, fleet: str, gauges: Gauges) -> None:
        self._metrics, self._gauges = metrics, gauges
        self._constant = {"namespace": namespace, "fleet": fleet}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        for family in self._metrics.families():
            yield family.family(self._constant)
        for name, help_, labels, values in self._gauges():
            yield gauge(f"{PREFIX}{name}", help_, self._constant, labels, values)

    def text(self) -> bytes:
        return generate_latest(self._registry)
