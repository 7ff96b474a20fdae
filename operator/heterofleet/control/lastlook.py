"""The last look before groups go: who serves by now is not taken without a drain.

A group that serves nobody goes at once, by the look with which the reconcile began. Names are looked up and objects
applied in between, which takes seconds on a busy server, and a group may come up meanwhile. So right before it is
deleted, or restarted as one, the cache is asked again; what came up stays, and its change has the fleet reconciled
once more.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from heterofleet.cluster.objects import Observed
from heterofleet.cluster.records import PodRecord
from heterofleet.control import observe
from heterofleet.control.groups import Groups
from heterofleet.planning.instances import TierPlan, Verdict
from heterofleet.planning.life import Group


@dataclass(frozen=True)
class LastLook:
    """What one step takes without a drain, and the pods of its fleet as they are whenever it is asked."""

    undrained: Mapping[int, Group]
    pods: Callable[[], Iterable[PodRecord]]

    def stays(self, child: Observed) -> bool:
        """Whether an object that was to be pruned belongs to a group that came up."""
        index = observe.instance_of(child.labels)
        return index is not None and index in self.undrained and self.came_up(self.undrained[index])

    def came_up(self, group: Group) -> bool:
        """Whether a group that did not serve serves now."""
        own = [pod for pod in self.pods() if observe.instance_of(pod.labels) == group.index and not pod.finished]
        return len(own) == group.size and all(pod.ready and not pod.terminating for pod in own)


def undrained(plan: TierPlan, looked: Groups) -> Mapping[int, Group]:
    """The groups that are deleted for no other reason than that they were seen to serve nobody."""
    live = {instance.index for instance in looked.observed if instance.live}
    return {i.index: looked.groups[i.index] for i in plan.of(Verdict.DELETE) if i.index in live}
