"""Evaluates NetworkPolicies as data: which pod may open a connection to which port of which other pod.

The semantics are those of networking.k8s.io/v1: a pod that no policy selects takes connections from everybody, one that
is selected only what some rule of some policy admits, and policies add up. What our policies do not use (`ipBlock`,
`matchExpressions`, `endPort`, egress) is an error here, so that the answer is never a guess.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Manifest = Mapping[str, Any]

NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""The label that Kubernetes gives every namespace."""


class UnknownRule(Exception):
    """A policy uses what this evaluator does not know."""


@dataclass(frozen=True)
class Pod:
    """One end of a connection; `ports` are the names of its container's ports."""

    namespace: str
    labels: Mapping[str, str]
    ports: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, namespace: str, template: Manifest, **more: str) -> "Pod":
        """A pod of this template; `more` are labels that its controller adds."""
        (container,) = template["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        return cls(namespace, {**template["metadata"]["labels"], **more}, ports)


def admits(policies: Sequence[Manifest], source: Pod, target: Pod, port: int) -> bool:
    """Whether `source` may connect to `port` of `target`, by TCP. Raises UnknownRule."""
    for policy in policies:
        if policy["spec"]["policyTypes"] != ["Ingress"]:
            raise UnknownRule(f"{policy['metadata']['name']} is of {policy['spec']['policyTypes']}")
    chosen = [policy for policy in policies if _selects(policy, target)]
    return not chosen or any(_rule_admits(rule, source, target, port) for rule in _rules(chosen))


def _selects(policy: Manifest, pod: Pod) -> bool:
    return policy["metadata"]["namespace"] == pod.namespace and _matches(policy["spec"]["podSelector"], pod.labels)


def _rules(policies: Iterable[Manifest]) -> Iterable[Manifest]:
    for policy in policies:
        yield from policy["spec"].get("ingress", ())


def _rule_admits(rule: Manifest, source: Pod, target: Pod, port: int) -> bool:
    known = rule.keys() <= {"from", "ports"}
    if not known:
        raise UnknownRule(f"a rule has {sorted(rule)}")
    from_whom = "from" not in rule or any(_is_peer(peer, source, target.namespace) for peer in rule["from"])
    to_where = "ports" not in rule or any(_is_port(listed, target, port) for listed in rule["ports"])
    return from_whom and to_where


def _is_peer(peer: Manifest, source: Pod, namespace: str) -> bool:
    if not peer.keys() <= {"podSelector", "namespaceSelector"}:
        raise UnknownRule(f"a peer has {sorted(peer)}")
    own = source.namespace == namespace
    near = (
        _matches(peer["namespaceSelector"], {NAMESPACE_NAME: source.namespace}) if "namespaceSelector" in peer else own
    )
    return near and _matches(peer.get("podSelector", {}), source.labels)


def _is_port(listed: Manifest, target: Pod, port: int) -> bool:
    if not listed.keys() <= {"port", "protocol"} or listed.get("protocol", "TCP") != "TCP":
        raise UnknownRule(f"a port is {dict(listed)}")
    number = listed["port"]
    return port == (target.ports[number] if isinstance(number, str) else number)


def _matches(selector: Manifest, labels: Mapping[str, str]) -> bool:
    if not selector.keys() <= {"matchLabels"}:
        raise UnknownRule(f"a selector has {sorted(selector)}")
    wanted: Mapping[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()
