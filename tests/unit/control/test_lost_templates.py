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
