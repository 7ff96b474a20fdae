"""Whether a fleet's pods ever held more GPUs than its budget: pure, over the history of a walk.

A budget that is lowered cannot be kept at once. What was allowed before stays allowed until the operator has seen
the new budget and pods, and what is asked of Kubernetes, have once been within it for a while; from then on it binds.

A small pod that somebody else deletes is not counted while it ends: its ReplicaSet replaces it at once, and no
operator can keep it from that.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf

from heterofleet.api import labels
from randomwalk.history import Deed, Event

SETTLED_SECONDS = 3.0
THEFT_SECONDS = 45.0
"""For so long Kubernetes may move pods after somebody edited what makes them."""


@dataclass
class _Account:
    """One fleet's GPUs, by name: a fleet that comes back under its name inherits the pods of the former one."""

    exists: bool = False
    budget: float = inf
    carried: float = 0.0
    """What may still be held from before the present budget."""
    generation: int = 0
    observed: int = 0
    within_since: float | None = None
    stolen_until: float = 0.0
    pods: dict[str, int] = field(default_factory=dict)
    makers: dict[str, int] = field(default_factory=dict)

    @property
    def held(self) -> int:
        return sum(self.pods.values())

    @property
    def asked(self) -> int:
        return sum(self.makers.values())


def exceeded(events: list[Event], deeds: list[Deed]) -> Iterator[str]:
    """A sentence for each time that a new pod went beyond what was allowed."""
    accounts: dict[str, _Account] = {}
    deleted = frozenset(name for deed in deeds if deed.what in ("delete", "machine") for name in deed.names)
    thefts = sorted((deed.at, deed.fleet) for deed in deeds if deed.what == "steal maker")
    for event in events:
        fleet = event.name if event.kind == labels.FLEET_KIND else event.labels.get(labels.FLEET)
        if fleet is None:
            continue
        account = accounts.setdefault(fleet, _Account())
        while thefts and thefts[0][0] <= event.seen:
            # A stolen count makes pods that the operator never asked for, a stolen template replaces them.
            at, victim = thefts.pop(0)
            robbed = accounts.setdefault(victim, _Account())
            robbed.carried, robbed.stolen_until = inf, at + THEFT_SECONDS
        before = account.held
        _note(account, event, deleted)
        allowed = max(account.budget, account.carried)
        if account.held > before and account.held > allowed:
            yield f"{fleet} holds {account.held} GPUs with pod {event.name} at {event.version}, {allowed} are allowed"
        _settle(account, event.seen)


def _note(account: _Account, event: Event, deleted: frozenset[str]) -> None:
    if event.kind == labels.FLEET_KIND:
        _note_fleet(account, event)
    elif event.kind == "Pod":
        phase = event.body.get("status", {}).get("phase")
        if event.change == "DELETED" or phase in ("Succeeded", "Failed") or _is_replaced(event, deleted):
            account.pods.pop(event.uid, None)
        else:
            account.pods[event.uid] = gpus(event.body["spec"])
    elif event.kind in ("StatefulSet", "Deployment"):
        if event.change == "DELETED":
            account.makers.pop(event.uid, None)
        else:
            spec = event.body["spec"]
            account.makers[event.uid] = spec["replicas"] * gpus(spec["template"]["spec"])


def _is_replaced(event: Event, deleted: frozenset[str]) -> bool:
    """Whether it ends because somebody deleted it, what makes it, or its machine."""
    metadata = event.body["metadata"]
    if "deletionTimestamp" not in metadata or event.labels.get(labels.TIER) != labels.Tier.SMALL:
        return False
    owners = {owner["name"] for owner in metadata.get("ownerReferences", ())}
    makers = {name.rpartition("-")[0] for name in owners}
    return not deleted.isdisjoint({event.name, event.body["spec"].get("nodeName", ""), *owners, *makers})


def _note_fleet(account: _Account, event: Event) -> None:
    if event.change == "DELETED":
        account.exists, account.budget, account.observed = False, inf, 0
        return
    budget = event.body["spec"]["scaling"].get("gpuBudget")
    fresh = inf if budget is None else float(budget)
    generation = event.body["metadata"]["generation"]
    if fresh != account.budget:
        is_new = not (account.exists or account.pods or account.makers)
        inherited = 0.0 if is_new else account.budget
        account.carried = max(account.carried, inherited)
        account.budget, account.generation, account.within_since = fresh, generation, None
    account.exists = True
    account.observed = event.body.get("status", {}).get("observedGeneration", 0)


def _settle(account: _Account, now: float) -> None:
    """Let the present budget bind once everything has been within it for a while."""
    within = max(account.held, account.asked) <= account.budget and account.observed >= account.generation
    if not within or now < account.stolen_until:
        account.within_since = None
    elif account.within_since is None:
        account.within_since = now
    elif now - account.within_since > SETTLED_SECONDS:
        account.carried = 0.0


def gpus(spec: dict[str, list[dict[str, dict[str, dict[str, str]]]]]) -> int:
    """GPUs of one pod."""
    return sum(int(c.get("resources", {}).get("limits", {}).get("nvidia.com/gpu", "0")) for c in spec["containers"])
