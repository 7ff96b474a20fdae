"""What is wrong with a fleet, in sentences that help: what containers wait for, what ended, what could not be written.

`report` puts them into the status; each is said in the words of whoever met it, Kubernetes' own included.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from heterofleet.api import labels
from heterofleet.api.conditions import InstanceState, InstanceStatus, Reason
from heterofleet.cluster.apply import Failure
from heterofleet.cluster.objects import Ref
from heterofleet.cluster.records import PodRecord
from heterofleet.control.observe import FleetView
from heterofleet.planning import termination
from heterofleet.status import Finding

_ENDS_OF_A_STUCK_ROLL = 2
"""Once may be chance."""
MOUNT_SECONDS = 30
"""Time in which a node has mounted what there is."""
_PULL = frozenset({"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull"})


def name_taken(taken: Iterable[Ref]) -> Finding:
    """The refusal of a fleet whose objects' names are somebody else's."""
    listed = ", ".join(str(ref) for ref in sorted(taken))
    return Finding(
        Reason.NAME_TAKEN, f"{listed} exists and is not this fleet's: delete it, or give the fleet another name"
    )


def of_writes(failed: Sequence[Failure], mutated: Iterable[Ref]) -> tuple[Finding, ...]:
    """What kept objects from being as they are desired."""
    problems = [Finding(Reason.APPLY_FAILED, f"{failure.ref}: {failure.error}") for failure in failed]
    listed = ", ".join(str(ref) for ref in sorted(mutated))
    if listed:
        sentence = f"admission changes what the operator applies to {listed}: exempt the fleet from that webhook"
        problems.append(Finding(Reason.MUTATED_BY_ADMISSION, sentence))
    return tuple(problems)


def of_instances(instances: Sequence[InstanceStatus]) -> list[Finding]:
    """Groups that were given up or lost."""
    found = []
    for instance in instances:
        if instance.state is InstanceState.FAILED:
            last = instance.last_exit
            cause = f", last with exit code {last.exit_code} {last.reason}: {last.message}" if last else ""
            found.append(
                Finding(
                    Reason.INSTANCE_FAILED,
                    f"large instance {instance.index} was given up after {instance.restarts} failures{cause}."
                    " Change the spec, or let it try again with `heterofleet retry`",
                )
            )
        elif instance.state is InstanceState.LOST:
            sentence = f"large instance {instance.index} lost a node and is replaced"
            found.append(Finding(Reason.NODE_LOST, sentence))
    return found


def restarting(pods: Iterable[PodRecord]) -> str:
    """The pods of the small tier whose engine exited, each with its cause."""
    exited = ((pod, pod.ended or pod.last_ended) for pod in pods if not (pod.ready or pod.terminating))
    return "; ".join(
        f"pod {pod.name} restarts ({pod.restart_count} so far, exit code {ended.exit_code} {ended.reason}:"
        f" {termination.cause(ended.exit_code, ended.message)})"
        for pod, ended in exited
        if ended is not None
    )


def of_roll(pods: Iterable[PodRecord], revision: str) -> list[Finding]:
    """Pods of the new revision that end again and again, while those of the old one serve on."""
    return [
        Finding(
            Reason.ROLL_STUCK,
            f"the roll stops at pod {pod.name}, which has ended {pod.restart_count} times, last with exit code"
            f" {pod.last_ended.exit_code} {pod.last_ended.reason}:"
            f" {termination.cause(pod.last_ended.exit_code, pod.last_ended.message)}."
            " The old ones serve on: mend the spec, or take it back",
        )
        for pod in pods
        if pod.labels.get(labels.REVISION) == revision
        and not (pod.ready or pod.terminating)
        and pod.last_ended is not None
        and pod.restart_count >= _ENDS_OF_A_STUCK_ROLL
    ]


def of_pods(pods: Iterable[PodRecord]) -> list[Finding]:
    """What containers wait for and will not get by waiting; the same words of many pods are said once."""
    seen: Counter[Finding] = Counter()
    for pod in pods:
        if pod.waiting_reason == "CreateContainerConfigError":
            seen[Finding(Reason.SECRET_MISSING, pod.waiting_message or "a Secret or ConfigMap is missing")] += 1
        elif pod.waiting_reason in _PULL:
            seen[Finding(Reason.IMAGE_NOT_PULLED, pod.waiting_message or pod.waiting_reason)] += 1
    return [Finding(f.reason, f"{f.message} ({count} pods)" if count > 1 else f.message) for f, count in seen.items()]


def of_routers(pods: Iterable[PodRecord]) -> list[Finding]:
    """The same of the routers' pods."""
    return [Finding(f.reason, f"router: {f.message}") for f in of_pods(pods)]


def mounts_due_at(pods: Iterable[PodRecord]) -> datetime | None:
    """When a pod that still waits for its volumes has waited too long; None when none does."""
    waiting = (pod.created for pod in pods if pod.scheduled and not (pod.mounted or pod.terminating))
    return min((created + timedelta(seconds=MOUNT_SECONDS) for created in waiting), default=None)


def of_mounts(pods: Iterable[PodRecord], secrets: Sequence[str], now: datetime, whose: str = "") -> list[Finding]:
    """What pods have mounted and is not there. A Secret's absence shows in no other way to who may read none.

    `whose` begins the sentence where the condition does not say it.
    """
    due = mounts_due_at(pods)
    if not secrets or due is None or now < due:
        return []
    sentence = f"{whose}a pod waits for its volumes: is there a Secret {' and a Secret '.join(secrets)}?"
    return [Finding(Reason.SECRET_MISSING, sentence)]


def of_templates(view: FleetView) -> list[Finding]:
    """Stored templates that are not what this operator stores."""
    return [
        Finding(Reason.APPLY_FAILED, f"{ref} holds no template that this operator can read: it is left as it is")
        for ref in view.broken_templates
    ]
