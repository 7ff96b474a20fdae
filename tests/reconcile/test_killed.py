"""Killed after any of its writes, the operator goes on from what it finds: nothing is kept that it may not forget."""

import contextlib
from collections.abc import Callable

from heterofleet.api import labels
from heterofleet.cluster import errors
from reconcile.operator import Operator
from reconcile.site import Site, is_ready, state_of, uids_of


def die_again_and_again(operator: Operator, is_over: Callable[[], bool]) -> int:
    """Let the operator die after each of its writes, until what it is to do is done; gives its deaths."""
    deaths = 0
    for _ in range(300):
        if is_over():
            return deaths
        if operator.is_dead:
            operator.restart(1)
            deaths += 1
            continue
        operator.advance(1.5)
        with contextlib.suppress(errors.NotLeader):
            operator.settle()
    raise AssertionError(f"it is not done after {deaths} deaths")


def test_a_fleet_comes_up_whatever_write_was_the_last(site: Site, operator: Operator):
    site.add_nodes(3)
    operator.dies_after(1)
    site.create()
    deaths = die_again_and_again(operator, lambda: site.condition("Ready")[0] == "True")
    assert deaths >= 20
    operator.restart()
    site.wait_ready()
    operator.settle()
    operator.writes()
    operator.settle()
    assert operator.writes() == []
    assert len(site.large_pods()) == 2


def test_a_roll_and_a_scale_down_end_whatever_write_was_the_last(ready, operator: Operator):
    site: Site = ready(nodes=6, small={"instances": {"min": 3}})
    old = uids_of(site.large_pods()) | uids_of(site.small_pods())
    operator.dies_after(1)
    changed = {"engine": {"maxModelLen": 4096}}
    site.edit(large=changed, small={**changed, "instances": {"min": 2}})

    def is_over() -> bool:
        pods = site.large_pods() + site.small_pods()
        serving = [pod for pod in pods if is_ready(pod) and state_of(pod) == "serving"]
        assert {pod["metadata"]["labels"][labels.TIER] for pod in serving} == {"large", "small"}
        return not old & uids_of(pods) and len(serving) == len(pods) == 4

    assert die_again_and_again(operator, is_over) >= 10
    operator.restart()
    site.wait_ready()
    operator.settle()
    left = site.items("controllerrevisions", labels.FLEET)
    ours = [item for item in left if item["metadata"]["ownerReferences"][0]["kind"] == labels.FLEET_KIND]
    assert len(ours) == 3, "templates that nothing is made of any more are gone"
