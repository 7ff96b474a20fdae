"""How many pods each Deployment of the small tier has, and which pods leave (contracts.md, "Instances, revisions").

A small instance is one pod. There is one Deployment a revision and its template is never edited, so a roll is two
counts that move against each other: the old one is lowered through a drain, the new one raised pod by pod, ahead by
what GPUs are spare and else only when the old pod is gone. A count is lowered only when the marked pods have drained,
and a Deployment goes only when its count is 0 and nobody makes pods for it any more: what is deleted cannot be asked
whether its controllers have seen that it was lowered.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from heterofleet.planning.instances import Hold, Policy, Room


@dataclass(frozen=True, slots=True)
class SmallPod:
    """One pod. `deleting`: it holds its GPUs until it is gone, but counts for no Deployment any more.

    `lost`: its node is gone. `late`: it has not become ready in the time that a start may take.
    """

    uid: str
    name: str
    revision: str
    ready: bool = False
    scheduled: bool = True
    deleting: bool = False
    draining: bool = False
    drained: bool = False
    lost: bool = False
    late: bool = False
    leaving_node: bool = False
    in_flight: int | None = 0
    created: float = 0.0

    @property
    def live(self) -> bool:
        return not self.deleting


@dataclass(frozen=True, slots=True)
class Pool:
    """One Deployment: `replicas` as it is set now, and its pods.

    `ceiling`: how many pods its controllers may make by all that they have in hand, an earlier count included.
    """

    revision: str
    replicas: int
    pods: tuple[SmallPod, ...] = ()
    ceiling: int = 0

    @property
    def settling(self) -> bool:
        """Its count was lowered, and its controllers may not have seen it yet."""
        return self.ceiling > self.replicas

    @property
    def exists(self) -> bool:
        """Whether it has pods or may yet get some."""
        return bool(self.pods) or max(self.replicas, self.ceiling) > 0

    def live(self) -> list[SmallPod]:
        return [pod for pod in self.pods if pod.live]

    @property
    def serving(self) -> int:
        return sum(pod.live and pod.ready and not pod.draining for pod in self.pods)


@dataclass(frozen=True, slots=True)
class PoolsPlan:
    """Replicas by revision, pods (uids) whose drain shall begin or be called off, and what holds the tier back.

    A revision that is not in `replicas` has no Deployment any more. `abandon` are pods to delete, for their
    Deployment to make another one in their place.
    """

    replicas: dict[str, int]
    drain: tuple[str, ...] = ()
    keep_after_all: tuple[str, ...] = ()
    abandon: tuple[str, ...] = ()
    holds: frozenset[Hold] = frozenset()


def plan(wanted: int, pools: Sequence[Pool], room: Room, policy: Policy) -> PoolsPlan:
    """The next step towards `wanted` pods of `policy.revision`. `room.creatable`: pods that may be added now."""
    current = next((p for p in pools if p.revision == policy.revision), Pool(policy.revision, 0))
    old = [pool for pool in pools if pool.revision != policy.revision]
    if any(pool.exists for pool in old):
        return _roll(wanted, current, old, room, policy)
    return _scale(wanted, current, room)


def _scale(wanted: int, current: Pool, room: Room) -> PoolsPlan:
    live = current.live()
    leaving = _still_to_leave(current)
    staying = current.replicas - len(leaving)
    if wanted > staying:
        return _grow(wanted, current, leaving, staying, room)
    surplus = staying - wanted
    unborn = min(surplus, max(0, current.replicas - len(live)))
    given_up = _given_up(current)
    marks = _victims(pod for pod in live if not pod.draining and pod not in given_up)[: surplus - unborn]
    # A pod that answers nobody has nothing to drain, and the controller takes such pods first.
    at_once = [pod for pod in marks if not pod.ready]
    drained = [pod for pod in leaving if pod.drained]
    if surplus == 0 and not leaving:
        return _replace_lost(current, room)
    replicas = current.replicas - len(drained) - len(at_once) - unborn
    return PoolsPlan({current.revision: replicas}, drain=tuple(pod.uid for pod in marks if pod.ready))


def _given_up(pool: Pool) -> list[SmallPod]:
    """Pods that answer nobody and for which the count has been lowered.

    The controller takes what is above the count in its own time: such pods first, so these are not counted again.
    """
    live = pool.live()
    return _victims(pod for pod in live if not (pod.ready or pod.draining))[: max(0, len(live) - pool.replicas)]


def _still_to_leave(pool: Pool) -> list[SmallPod]:
    """Draining pods for which the count has not been lowered yet; the controller takes drained ones next."""
    live = pool.live()
    leaving = sorted((pod for pod in live if pod.draining), key=lambda pod: (not pod.drained, pod.name))
    above = max(0, len(live) - pool.replicas) - len(_given_up(pool))
    return leaving[min(above, sum(pod.drained for pod in leaving)) :]


def _replace_lost(current: Pool, room: Room) -> PoolsPlan:
    """Pods on lost nodes are given up, as far as there is room for their successors beside them."""
    lost = [pod for pod in current.live() if pod.lost]
    abandoned = lost[: room.creatable]
    return PoolsPlan(
        {current.revision: current.replicas},
        abandon=tuple(pod.uid for pod in abandoned),
        holds=frozenset({Hold.GPUS}) if len(abandoned) < len(lost) else frozenset(),
    )


def _grow(wanted: int, current: Pool, leaving: list[SmallPod], staying: int, room: Room) -> PoolsPlan:
    # A pod that was to leave and is still there is the cheapest new instance: it is loaded already.
    kept = sorted(leaving, key=lambda pod: (pod.drained, pod.name))[: wanted - staying]
    missing = wanted - staying - len(kept)
    added = min(missing, room.creatable)
    gone = [pod for pod in leaving if pod not in kept and pod.drained]
    return PoolsPlan(
        {current.revision: current.replicas - len(gone) + added},
        keep_after_all=tuple(pod.uid for pod in kept),
        holds=frozenset({Hold.GPUS}) if added < missing else frozenset(),
    )


def _roll(wanted: int, current: Pool, old: Sequence[Pool], room: Room, policy: Policy) -> PoolsPlan:
    """Old pods leave as new ones serve; nobody else is drained meanwhile."""
    replicas: dict[str, int] = {}
    lingering = 0
    for pool in old:
        done = [pod for pod in pool.live() if pod.draining and pod.drained]
        useless = [pod for pod in pool.live() if not pod.draining and not pod.ready]
        # The count may be lowered already for pods that their controller has not taken yet.
        left = min(pool.replicas, len(pool.live()) - len(done) - len(useless))
        lingering += max(0, left)
        if pool.exists:
            replicas[pool.revision] = max(0, left)
    serving_old = [pod for pool in old for pod in pool.live() if pod.ready and not pod.draining]
    draining_old = [pod for pool in old for pod in pool.live() if pod.ready and pod.draining and not pod.drained]
    occupied = sum(len(pool.pods) for pool in old)
    added = _ahead(wanted, current, occupied, room)
    replicas[policy.revision] = current.replicas + added
    marks, holds = _old_to_drain(
        wanted, current, serving_old=serving_old, draining_old=draining_old, added=added, policy=policy
    )
    if current.replicas + added < wanted and not marks and not draining_old and not lingering:
        holds |= {Hold.GPUS}
    if any(pod.late and not pod.ready for pod in current.live()):
        holds |= {Hold.STUCK}
    # After a change of mind this revision has pods that were to leave: they are loaded already.
    kept = _still_to_leave(current)
    return PoolsPlan(
        replicas,
        drain=tuple(pod.uid for pod in marks),
        keep_after_all=tuple(pod.uid for pod in kept),
        holds=frozenset(holds),
    )


def _ahead(wanted: int, current: Pool, occupied: int, room: Room) -> int:
    """New pods to add now: into places that are free already, one that is not yet ready ahead of the old ones."""
    missing = wanted - current.replicas
    if missing <= 0:
        return 0
    vacated = max(0, missing - occupied)
    starting = current.replicas - current.serving
    surge = 1 if not starting and room.creatable > vacated else 0
    return min(missing, room.creatable, vacated + surge)


def _old_to_drain(
    wanted: int,
    current: Pool,
    *,
    serving_old: list[SmallPod],
    draining_old: list[SmallPod],
    added: int,
    policy: Policy,
) -> tuple[list[SmallPod], set[Hold]]:
    surplus = current.serving + len(serving_old) - wanted
    if surplus > 0:
        return _victims(serving_old)[:surplus], set()
    starting = current.replicas + added - current.serving
    if not serving_old or draining_old or starting > 0:
        return [], set()
    if current.serving + len(serving_old) > 1 or policy.allow_outage:
        return _victims(serving_old)[:1], set()
    return [], {Hold.OUTAGE}


def _victims(pods: Iterable[SmallPod]) -> list[SmallPod]:
    """The least useful first: unplaced, not ready, about to move, with the least work, the youngest."""
    return sorted(
        pods,
        key=lambda pod: (
            pod.scheduled,
            pod.ready,
            not pod.leaving_node,
            pod.in_flight if pod.in_flight is not None else float("inf"),
            -pod.created,
            pod.name,
        ),
    )
