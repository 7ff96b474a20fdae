"""Somebody deleted the ControllerRevision of a revision that has pods, and the spec has changed since."""

from heterofleet.cluster.objects import Ref
from unit.control.desk import Desk
from unit.desired import fleets

TWO = {"large": {"instances": {"min": 0}}, "small": {"instances": {"min": 2}}}
CHANGED = fleets.merged(TWO, {"small": {"engine": {"maxNumSeqs": 32}}})


def lose(desk: Desk, *lost: dict[str, object]) -> None:
    """Somebody deletes them."""
    for ref in map(Ref.of, lost):
        del desk.cluster.objects[ref]
        desk.cache.remove(ref)


async def test_a_deployment_without_its_template_is_lowered_as_it_stands_and_goes() -> None:
    desk = Desk()
    desk.want(**TWO)
    await desk.reconcile()
    (former,) = (item for item in desk.found("Deployment") if "-small-" in item["metadata"]["name"])
    pods = desk.pods(former, 2)
    lose(desk, *(item for item in desk.found("ControllerRevision") if "-small-" in item["metadata"]["name"]))
    desk.want(**CHANGED)
    await desk.reconcile()
    held = desk.cluster.objects[Ref.of(former)]
    assert held["spec"] == {**former["spec"], "replicas": 0}
    assert {key: held["metadata"][key] for key in ("labels", "annotations", "ownerReferences")} == {
        key: former["metadata"][key] for key in ("labels", "annotations", "ownerReferences")
    }
    lose(desk, *pods)
    desk.settle(former["metadata"]["name"])
    await desk.reconcile()
    assert Ref.of(former) not in desk.cluster.objects


async def test_a_group_without_its_template_claims_gpus_for_the_pods_that_it_still_lacks() -> None:
    desk = Desk()
    budget = {"scaling": {"gpuBudget": 17}}
    desk.want(**budget, large={"instances": {"min": 1}}, small={"instances": {"min": 0}})
    await desk.reconcile()
    lose(desk, *(item for item in desk.found("ControllerRevision") if "-large-" in item["metadata"]["name"]))
    desk.want(**budget, **TWO)
    await desk.reconcile()
    assert desk.names("StatefulSet") == ["chat-large-0"], (
        "its controller has not seen it yet, so that its pods may come"
    )
    (small,) = (item for item in desk.found("Deployment") if "-small-" in item["metadata"]["name"])
    assert small["spec"]["replicas"] == 1


async def test_small_pods_to_come_claim_gpus_without_their_template() -> None:
    desk = Desk()
    budget = {"scaling": {"gpuBudget": 17}}
    desk.want(**fleets.merged(TWO, budget))
    await desk.reconcile()
    lose(desk, *(item for item in desk.found("ControllerRevision") if "-small-" in item["metadata"]["name"]))
    desk.want(**fleets.merged(CHANGED, {**budget, "large": {"instances": {"min": 1}}}))
    await desk.reconcile()
    assert desk.names("StatefulSet") == []
