"""Decides what Prometheus computes and alerts on for one fleet: what must not depend on anything but the fleet.

Most alerts are shipped once, for all fleets (`metrics.alerts`, ADR 0130). These rules name one fleet, so that they come
and go with it and work where rules see their own namespace alone. They use vLLM's own series, with the labels that
`monitoring.relabelings` gives them, and the operator's gauge of instances. An alert on a missing operator fires only
where the operator was scraped before, since scraping it is a choice.
"""

from heterofleet.api.labels import Manifest
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.metrics import alerts


def rules(fleet: HeterogeneousDeployment) -> list[Manifest]:
    """Recording rules first, then alerts."""
    of_fleet = f'namespace="{fleet.metadata.namespace}",fleet="{fleet.metadata.name}"'
    return [*_recorded(of_fleet), *(alert.manifest() for alert in alerts.core(of_fleet))]


def _recorded(of_fleet: str) -> list[Manifest]:
    by_tier = "sum by (namespace, fleet, tier)"
    in_flight = f"vllm:num_requests_running{{{of_fleet}}} + vllm:num_requests_waiting{{{of_fleet}}}"
    return [
        {"record": "heterofleet:requests_in_flight:sum", "expr": f"{by_tier} ({in_flight})"},
        {
            "record": "heterofleet:completion_tokens:rate5m",
            "expr": f"{by_tier} (rate(vllm:generation_tokens_total{{{of_fleet}}}[5m]))",
        },
    ]
