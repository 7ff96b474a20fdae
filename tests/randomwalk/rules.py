"""What must hold at every moment of a walk, judged over its history when it is over: pure.

Each rule takes the story of a walk and gives the violations that it sees. Events stand in the store's own order, so
a rule that compares objects of different kinds needs no clock; where the walk's own doing must be told from the
operator's, a deed excuses what happens to the objects that it names for a while.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from heterofleet.api import labels
from randomwalk import budgets
from randomwalk.history import Deed, Event
from randomwalk.written import Write

EXCUSED_SECONDS = 120.0
"""How long after a deed of the walk its consequences may show: drains, graces, lost nodes, back-offs, and a garbage
collector that takes a minute to find its way after the API server was away."""
STEADY_SECONDS = 8.0
"""Younger facts than this an operator on a loaded machine may not have seen when it decided."""
SAME_RECONCILE_SECONDS = 0.8
"""A fleet whose reconcile failed is not looked at again for a second."""


class Rule(StrEnum):
    """The invariants by name; what a planted bug must break."""

    BUDGET = "the GPUs of a fleet's pods stay within its budget"
    TEMPLATES = "templates and replicas of groups are never edited"
    INDEXES = "no index is used again while something of the old one exists"
    DRAINS = "no serving pod is taken without a drain"
    ORDER = "what pods need is there before what makes pods"
    PRUNES = "nothing is pruned after a failed apply"
    LEADER = "only the holder of the Lease writes"
    FOREIGN = "what is not the fleet's is not touched"
    FAULTS = "the operator logs no error of its own"
    SETTLED = "a healed fleet becomes what its spec says"
    REST = "nothing is written at rest"
    ORPHANS = "nothing is left without its owner"


class Violation(NamedTuple):
    """A rule that was broken, and how."""

    rule: Rule
    sentence: str


@dataclass(frozen=True)
class Story:
    """One walk, as it was."""

    events: list[Event]
    deeds: list[Deed]
    writes: list[Write]
    foreign: frozenset[str]
    """UIDs of the objects that were never a fleet's."""

    def excuses(self, names: Iterable[str], at: float, whats: Iterable[str], fleet: str = "") -> bool:
        """Whether the walk did one of these things to one of the names, or to the fleet, shortly before."""
        wanted, kinds = frozenset(names), frozenset(whats)
        return any(
            deed.what in kinds
            and -1 <= at - deed.at <= EXCUSED_SECONDS
            and (wanted & deed.names or deed.fleet == fleet)
            for deed in self.deeds
        )


def judge(story: Story) -> list[Violation]:
    """Everything that went wrong during a walk."""
    return [violation for rule in _RULES for violation in rule(story)]


def _budget(story: Story) -> Iterator[Violation]:
    for sentence in budgets.exceeded(story.events, story.deeds):
        yield Violation(Rule.BUDGET, sentence)


def _templates(story: Story) -> Iterator[Violation]:
    """A StatefulSet's template and replicas, and the template of a small tier's Deployment, stay as created."""
    stolen = {name for deed in story.deeds if deed.what == "steal" for name in deed.names}
    first: dict[str, tuple[object, ...]] = {}
    for event in story.events:
        if event.name in stolen or not _is_large_or_small(event):
            continue
        spec = event.body["spec"]
        shape = (spec["template"], spec["replicas"] if event.kind == "StatefulSet" else None)
        if first.setdefault(event.uid, shape) != shape:
            yield Violation(Rule.TEMPLATES, f"{event.kind} {event.name} was edited at {event.version}")
            first[event.uid] = shape


def _is_large_or_small(event: Event) -> bool:
    return event.kind in ("StatefulSet", "Deployment") and labels.TIER in event.labels


def _indexes(story: Story) -> Iterator[Violation]:
    """Objects of an index that lived beside one StatefulSet are all gone before the next one is made."""
    residents: defaultdict[str, dict[str, str]] = defaultdict(dict)
    of_previous: defaultdict[str, dict[str, str]] = defaultdict(dict)
    current: dict[str, str] = {}
    for event in story.events:
        fleet, index = event.labels.get(labels.FLEET), event.labels.get(labels.INSTANCE)
        # The revisions that a StatefulSet's own controller keeps of it are nobody's instance.
        if fleet is None or index is None or event.kind == "ControllerRevision" or event.uid in story.foreign:
            continue
        key = f"{fleet}-large-{index}"
        if event.change == "DELETED":
            residents[key].pop(event.uid, None)
            of_previous[key].pop(event.uid, None)
        elif event.kind == "StatefulSet" and event.uid != current.get(key):
            if of_previous[key]:
                left = ", ".join(sorted(of_previous[key].values()))
                yield Violation(Rule.INDEXES, f"StatefulSet {event.name} came at {event.version} beside old {left}")
            current[key] = event.uid
            residents[key][event.uid] = f"{event.kind} {event.name}"
        elif event.uid not in of_previous[key]:
            residents[key][event.uid] = f"{event.kind} {event.name}"
        if event.change == "DELETED" and event.uid == current.get(key):
            # Whatever is still there belongs to the one that went.
            of_previous[key] |= residents[key]
            residents[key] = {}


class _Pod(NamedTuple):
    event: Event
    steady_since: float | None
    """Since when it is Ready and takes requests."""
    fleet_uid: str | None
    """The fleet that had its name when it was made."""
    left: int | None = None
    """The version at which it began to go."""


def _drains(story: Story) -> Iterator[Violation]:
    """A pod that served for a while is deleted only after it was marked, unless it was not the operator's doing."""
    pods: dict[str, _Pod] = {}
    states = _instance_states(story)
    alive: dict[str, str | None] = {}
    decided: dict[str, Event] = {}
    for event in story.events:
        leaves = event.change == "DELETED" or "deletionTimestamp" in event.body["metadata"]
        if event.kind == labels.FLEET_KIND:
            alive[event.name] = None if leaves else event.uid
        elif event.kind == "StatefulSet" and leaves:
            decided.setdefault(event.uid, event)
        if event.kind != "Pod" or labels.TIER not in event.labels:
            continue
        present = alive.get(event.labels[labels.FLEET])
        known = pods.get(event.uid)
        if not leaves:
            serves = _serves(event)
            since = (known.steady_since if known and known.steady_since else event.seen) if serves else None
            pods[event.uid] = _Pod(event, since, known.fleet_uid if known else present)
            continue
        if known is None or known.left is not None:
            continue
        pods[event.uid] = known._replace(left=event.version)
        # The pods of a deleted group go when the garbage collector comes to them; it was decided before.
        owners = (decided[owner] for owner in _owners(event, "uid") if owner in decided)
        decision = min([event, *owners], key=lambda known: known.version)
        if not _is_steady(known, decision.seen) or present is None or known.fleet_uid != present:
            continue
        if not _group_serves(decision, event, pods) or _is_excused(story, event, states):
            continue
        yield Violation(Rule.DRAINS, f"pod {event.name} was serving and went unmarked at {event.version}")


def _owners(event: Event, key: str) -> set[str]:
    return {owner[key] for owner in event.body["metadata"].get("ownerReferences", ())}


def _is_steady(pod: _Pod, at: float) -> bool:
    return pod.steady_since is not None and at - pod.steady_since >= STEADY_SECONDS


def _serves(event: Event) -> bool:
    conditions = event.body.get("status", {}).get("conditions", ())
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and event.labels.get(labels.STATE) == labels.PodState.SERVING


def _group_serves(decision: Event, event: Event, pods: dict[str, _Pod]) -> bool:
    """Whether the group of a pod served when it was decided that it goes; a small pod is a group of its own.

    One with a rank that is not Ready takes no requests, also where that rank is the first that goes after the decision.
    """
    index = event.labels.get(labels.INSTANCE)
    if index is None:
        return True
    fleet = event.labels[labels.FLEET]
    others = [
        pod
        for pod in pods.values()
        if pod.event.labels.get(labels.INSTANCE) == index and pod.event.labels[labels.FLEET] == fleet
        if pod.left is None or pod.left > decision.version
    ]
    return all(_is_steady(pod, decision.seen) for pod in others)


def _is_excused(story: Story, event: Event, states: dict[str, list[tuple[float, str]]]) -> bool:
    """Deleted by the walk, alone or with its owner, on a machine that went, or given up by status with its instance."""
    fleet = event.labels[labels.FLEET]
    owners = _owners(event, "name")
    made_by = {name.rpartition("-")[0] for name in owners}
    node = event.body["spec"].get("nodeName", "")
    if story.excuses({event.name, *owners, *made_by}, event.seen, ("delete", "steal", "mark")):
        return True
    if story.excuses({node}, event.seen, ("machine",)):
        return True
    key = f"{fleet}-large-{event.labels.get(labels.INSTANCE)}"
    return any(abs(at - event.seen) < EXCUSED_SECONDS and state in ("Failed", "Lost") for at, state in states[key])


def _instance_states(story: Story) -> dict[str, list[tuple[float, str]]]:
    """Every state in which an instance was ever reported."""
    found: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)
    for event in story.events:
        if event.kind == labels.FLEET_KIND:
            for instance in event.body.get("status", {}).get("large", {}).get("instances", ()):
                found[f"{event.name}-large-{instance['index']}"].append((event.seen, instance["state"]))
    return found


def _order(story: Story) -> Iterator[Violation]:
    """A StatefulSet or Deployment finds its stored template, and what stands around it, when it is made.

    What bears a group's own name comes after its StatefulSet, so that it alone is known to be left over.
    """
    alive: dict[tuple[str, str], bool] = {}
    met: set[str] = set()
    for event in story.events:
        alive[event.kind, event.name] = event.change != "DELETED"
        if event.kind not in ("StatefulSet", "Deployment") or event.uid in met:
            continue
        met.add(event.uid)
        for kind, name in _needs(event):
            if alive.get((kind, name)) or _is_withheld(story, name, event):
                continue
            yield Violation(Rule.ORDER, f"{event.kind} {event.name} came at {event.version} before {kind} {name}")


def _needs(event: Event) -> Iterator[tuple[str, str]]:
    fleet, revision = event.labels.get(labels.FLEET), event.labels.get(labels.REVISION)
    if fleet is None:
        return
    if revision is not None and labels.TIER in event.labels:
        yield "ControllerRevision", f"{fleet}-{event.labels[labels.TIER]}-{revision}"
    if event.kind == "Deployment" and labels.TIER in event.labels:
        yield "Service", f"{fleet}-small"
    elif event.kind == "Deployment":
        yield "ConfigMap", f"{fleet}-router"
        yield "Service", f"{fleet}-router"


def _is_withheld(story: Story, name: str, event: Event) -> bool:
    """Whether the walk deleted it, alone or with its fleet, or kept it from being made."""
    if story.excuses({name}, event.seen, ("delete",)):
        return True
    if story.excuses((), event.seen, ("delete fleet",), event.labels[labels.FLEET]):
        return True
    refused = (write for write in story.writes if write.name == name and not write.succeeded)
    return any(abs(event.seen - write.at) < EXCUSED_SECONDS for write in refused)


def _prunes(story: Story) -> Iterator[Violation]:
    """In one reconcile no delete follows an apply that was refused."""
    fleets = {event.name for event in story.events if event.kind == labels.FLEET_KIND}
    failed: dict[tuple[str, str], Write] = {}
    for write in story.writes:
        fleet = next((name for name in fleets if write.name.startswith(f"{name}-")), None)
        if fleet is None or write.resource == "pods":
            continue
        key = (write.slot, fleet)
        if write.verb == "patch" and write.code in (403, 422):
            failed[key] = write
        elif write.verb == "delete" and key in failed:
            before = failed[key]
            if write.at - before.at < SAME_RECONCILE_SECONDS:
                sentence = f"{write.resource} {write.name} was deleted after {before.resource} {before.name} failed"
                yield Violation(Rule.PRUNES, sentence)


def _leader(story: Story) -> Iterator[Violation]:
    """Who wrote the Lease last is the only one to write anything else."""
    holder: str | None = None
    for write in story.writes:
        if write.of_lease:
            holder = write.slot if write.succeeded else holder
        elif write.slot != holder:
            who = f"operator {write.slot}, while {holder or 'nobody'} leads"
            yield Violation(Rule.LEADER, f"{write.verb} {write.resource} {write.name} by {who}")


def _foreign(story: Story) -> Iterator[Violation]:
    """A foreign object is as it was made until the walk takes it away."""
    for event in story.events:
        if event.uid not in story.foreign:
            continue
        if event.change == "DELETED" and story.excuses({event.name}, event.seen, ("delete", "delete foreign")):
            continue
        if event.change != "ADDED":
            yield Violation(Rule.FOREIGN, f"{event.kind} {event.name} was {event.change} at {event.version}")


_RULES: tuple[Callable[[Story], Iterator[Violation]], ...] = (
    _budget,
    _templates,
    _indexes,
    _drains,
    _order,
    _prunes,
    _leader,
    _foreign,
)
