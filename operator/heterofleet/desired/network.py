"""Decides who may talk to whose pods: NetworkPolicies of groups, small engines and routers.

Engines have no key of their own and serve /metrics on the port of requests, so everything is closed but:

    group          every port between pods of the same instance (NCCL and Gloo choose random ones)
    engines 8000   the fleet's routers; the operator (in-flight); Prometheus (metrics)
    engines 8001   the operator (the supervisor's status)
    router  8080   everybody: it is the fleet's address
    router  9090   the operator (configuration, in-flight); Prometheus

The operator is known by its namespace, Prometheus by the label that its operator and its chart set, in any
namespace. Policies add up, so whoever needs more adds one of their own. Egress is left open, since weights are
downloaded from wherever the spec says, and routers reach the API server, their store and an embedding endpoint wherever
those are. The kubelet's probes are always let through.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from heterofleet.api import labels
from heterofleet.api.labels import Component, Manifest, Tier
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.desired import children, engine, names

_PROMETHEUS: Final[Manifest] = {
    "namespaceSelector": {},
    "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}},
}


def group_policy(
    fleet: HeterogeneousDeployment, name: str, selector: Mapping[str, str], operator_namespace: str
) -> Manifest:
    """The policy of one large instance, whose ranks reach each other on every port."""
    within: Manifest = {"from": [{"podSelector": {"matchLabels": dict(selector)}}]}
    rules = [within, *_engine_rules(fleet, operator_namespace)]
    return _policy(fleet, name, selector, Tier.LARGE, rules)


def engine_policy(
    fleet: HeterogeneousDeployment, name: str, selector: Mapping[str, str], operator_namespace: str
) -> Manifest:
    """The policy of the small tier, whose pods do not know each other."""
    return _policy(fleet, name, selector, Tier.SMALL, _engine_rules(fleet, operator_namespace))


def router_policy(fleet: HeterogeneousDeployment, operator_namespace: str) -> Manifest:
    rules = [
        {"ports": _ports(labels.ROUTER_PORT)},
        {"from": [_namespace(operator_namespace), _PROMETHEUS], "ports": _ports(labels.METRICS_PORT)},
    ]
    selector = names.router_selector(fleet.metadata.name)
    return _policy(fleet, names.router(fleet.metadata.name), selector, Component.ROUTER, rules)


def _engine_rules(fleet: HeterogeneousDeployment, operator_namespace: str) -> list[Manifest]:
    routers = {"podSelector": {"matchLabels": names.router_selector(fleet.metadata.name)}}
    return [
        {"from": [routers, _PROMETHEUS], "ports": _ports(labels.ENGINE_PORT)},
        {"from": [_namespace(operator_namespace)], "ports": _ports(labels.ENGINE_PORT, engine.SUPERVISOR_PORT)},
    ]


def _policy(
    fleet: HeterogeneousDeployment,
    name: str,
    selector: Mapping[str, str],
    component: str,
    rules: Sequence[Manifest],
) -> Manifest:
    return {
        **children.child(fleet, children.NETWORK_POLICY, name, selector, component),
        "spec": {
            "podSelector": {"matchLabels": dict(selector)},
            "policyTypes": ["Ingress"],
            "ingress": list(rules),
        },
    }


def _namespace(name: str) -> Manifest:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def _ports(*numbers: int) -> list[Manifest]:
    return [{"port": number, "protocol": "TCP"} for number in numbers]
