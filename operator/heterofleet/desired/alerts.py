"""Decides what Prometheus computes and alerts on for one fleet.

Rules name one fleet, so that they come and go with it. They use what is there now: vLLM's own series, with the
labels that `monitoring.relabelings` gives them, and the operator's gauge of instances. An alert on a missing
operator fires only where the operator was scraped before, since scraping it is a choice.
"""

from heterofleet.api.conditions import InstanceState
from heterofleet.api.labels import Manifest, Tier
from heterofleet.api.v1alpha1 import HeterogeneousDeployment


def rules(fleet: HeterogeneousDeployment) -> list[Manifest]:
    """Recording rules first, then alerts."""
    of_fleet = f'namespace="{fleet.metadata.namespace}",fleet="{fleet.metadata.name}"'
    return [*_recorded(of_fleet), _restarting(of_fleet), _not_ready(of_fleet), _unwatched(of_fleet)]


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


def _restarting(of_fleet: str) -> Manifest:
    starts = f'process_start_time_seconds{{{of_fleet},tier="{Tier.LARGE}"}}'
    return _alert(
        "HeterofleetGroupRestarting",
        f"changes({starts}[1h]) > 2",
        hold="0s",
        severity="warning",
        summary="Instance {{ $labels.instance }} of fleet {{ $labels.namespace }}/{{ $labels.fleet }}"
        " restarted {{ $value }} times within an hour.",
        description="status.large.instances of the fleet holds the last exit code and the engine's last lines.",
    )


def _not_ready(of_fleet: str) -> Manifest:
    by_tier = "sum by (namespace, fleet, tier)"
    every = f"heterofleet_operator_instances{{{of_fleet}}}"
    ready = f'heterofleet_operator_instances{{{of_fleet},state="{InstanceState.READY}"}}'
    return _alert(
        "HeterofleetTierNotReady",
        f"{by_tier} ({every}) > 0 unless {by_tier} ({ready}) > 0",
        hold="15m",
        severity="critical",
        summary="No instance of the {{ $labels.tier }} tier of fleet {{ $labels.namespace }}/{{ $labels.fleet }}"
        " is Ready.",
        description="The fleet's condition Ready says in one sentence what it waits for.",
    )


def _unwatched(of_fleet: str) -> Manifest:
    gauge = f"heterofleet_operator_instances{{{of_fleet}}}"
    by_fleet = "max by (namespace, fleet)"
    return _alert(
        "HeterofleetUnwatched",
        f"{by_fleet} (present_over_time({gauge}[1d])) unless {by_fleet} ({gauge})",
        hold="10m",
        severity="warning",
        summary="No operator reports fleet {{ $labels.namespace }}/{{ $labels.fleet }} any more.",
        description="The fleet goes on serving and healing its groups, but nothing scales, drains or replaces it.",
    )


def _alert(name: str, expression: str, *, hold: str, severity: str, summary: str, description: str) -> Manifest:
    return {
        "alert": name,
        "expr": expression,
        "for": hold,
        "labels": {"severity": severity},
        "annotations": {"summary": summary, "description": description},
    }
