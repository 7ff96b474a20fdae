"""Before GPUs go, requests drain: out of the endpoints first, two zeros, and the proof in status."""

from datetime import datetime

from heterofleet.api import labels
from reconcile.operator import Operator
from reconcile.site import Site, names_of, state_of

TWO_LARGE = {"instances": {"min": 2}}


def step(operator: Operator, seconds: float = 1.5) -> None:
    """Time for one look of a drain."""
    operator.advance(seconds)
    operator.settle()


def scaled_down(ready, operator: Operator, busy: int | None) -> tuple[Site, str]:
    """Two groups of which one is to go, each with work; gives the one that was chosen."""
    site: Site = ready(nodes=5, large=TWO_LARGE)
    operator.engines.in_flight |= {"chat-large-0-0": busy, "chat-large-1-0": busy}
    site.edit(large={"instances": {"min": 1}})
    site.eventually(lambda: site.status()["large"]["draining"] == 1)
    operator.settle()
    draining = next(index for index, state in site.instances().items() if state == "Draining")
    return site, f"chat-large-{draining}"


def test_a_group_leaves_the_endpoints_first_and_goes_only_after_two_looks_that_find_nothing(ready, operator):
    site, name = scaled_down(ready, operator, busy=3)
    pods = [pod for pod in site.large_pods() if pod["metadata"]["name"].startswith(name)]
    assert [state_of(pod) for pod in pods] == ["draining", "draining"]
    deadline = datetime.fromisoformat(pods[0]["metadata"]["annotations"][labels.DRAIN_DEADLINE])
    assert 250 < (deadline - operator.now()).total_seconds() <= 300
    for _ in range(3):
        step(operator)
    assert len(site.large_pods()) == 4, "it holds requests"
    operator.engines.in_flight[f"{name}-0"] = 0
    step(operator)
    assert len(site.large_pods()) == 4, "one look that finds nothing is no proof"
    step(operator)
    site.eventually(lambda: len(site.large_pods()) == 2)
    operator.settle()
    proof = site.status()["lastDrain"]
    assert (proof["instance"], proof["inFlightAtStart"], proof["aborted"]) == (name.removeprefix("chat-"), 3, False)
    assert abs((datetime.fromisoformat(proof["completed"]) - operator.now()).total_seconds()) < 60
    site.eventually(lambda: any("it held 3 requests" in message for message in site.events("Drained")))


def test_requests_that_only_a_router_knows_of_keep_a_group_alive(ready, operator):
    site, name = scaled_down(ready, operator, busy=0)
    routers = names_of(site.pods(f"{labels.COMPONENT}=router"))
    operator.engines.by_router[routers[0], f"{name}-0"] = 1
    for _ in range(4):
        step(operator)
    assert len(site.large_pods()) == 4
    operator.engines.by_router.clear()
    for _ in range(2):
        step(operator)
    site.eventually(lambda: len(site.large_pods()) == 2)


def test_what_cannot_be_read_counts_as_busy_until_the_deadline(ready, operator):
    site, name = scaled_down(ready, operator, busy=None)
    for _ in range(4):
        step(operator)
    step(operator, 250)
    assert len(site.large_pods()) == 4
    step(operator, 50)
    site.eventually(lambda: len(site.large_pods()) == 2)
    operator.settle()
    proof = site.status()["lastDrain"]
    assert (proof["instance"], proof.get("inFlightAtStart"), proof["aborted"]) == (
        name.removeprefix("chat-"), None, True,
    )  # fmt: skip


def test_a_pod_of_a_draining_group_that_is_made_again_is_marked_again(ready, operator):
    site, name = scaled_down(ready, operator, busy=3)
    before = site.get("pods", f"{name}-1")
    site.cluster.api.delete(site.path("pods", f"{name}-1"), gracePeriodSeconds="0")

    def is_marked_again() -> bool:
        pod = site.find("pods", f"{name}-1")
        return pod is not None and pod["metadata"]["uid"] != before["metadata"]["uid"] and state_of(pod) == "draining"

    site.eventually(is_marked_again)
    pod = site.get("pods", f"{name}-1")
    key = labels.DRAIN_DEADLINE
    assert pod["metadata"]["annotations"][key] == before["metadata"]["annotations"][key]


def test_an_operator_that_is_killed_in_a_drain_goes_on_with_the_same_deadline(ready, operator):
    site, name = scaled_down(ready, operator, busy=None)
    before = site.get("statefulsets", name)["metadata"]["annotations"]
    operator.restart()
    step(operator, 100)
    assert site.get("statefulsets", name)["metadata"]["annotations"] == before
    operator.restart()
    step(operator, 200)
    site.eventually(lambda: len(site.large_pods()) == 2)
    assert names_of(site.large_pods())[0][: len(name)] != name


def test_the_small_pod_with_the_least_work_is_marked_and_it_is_the_one_that_goes(ready, operator):
    site: Site = ready(small={"instances": {"min": 3}})
    names = names_of(site.small_pods())
    operator.engines.in_flight |= {names[0]: 5, names[1]: 2, names[2]: None}
    site.edit(small={"instances": {"min": 2}})
    site.eventually(lambda: [state_of(site.get("pods", name)) for name in names].count("draining") == 1)
    pod = site.get("pods", names[1])
    cost = pod["metadata"]["annotations"][labels.POD_DELETION_COST]
    assert (state_of(pod), int(cost) < -2_000_000_000) == ("draining", True)
    for _ in range(3):
        step(operator)
    assert names_of(site.small_pods()) == names
    operator.engines.in_flight[names[1]] = 0
    for _ in range(2):
        step(operator)
    site.eventually(lambda: names_of(site.small_pods()) == [names[0], names[2]])
    operator.settle()
    assert site.status()["lastDrain"]["instance"] == names[1]


def test_a_drain_of_a_small_pod_is_called_off_when_the_count_rises_again(ready, operator):
    site: Site = ready(small={"instances": {"min": 2}})
    before = names_of(site.small_pods())
    operator.engines.in_flight |= dict.fromkeys(before, 4)
    site.edit(small={"instances": {"min": 1}})
    site.eventually(lambda: site.status()["small"]["draining"] == 1)
    site.edit(small={"instances": {"min": 2}})
    site.eventually(lambda: [state_of(pod) for pod in site.small_pods()] == ["serving", "serving"])
    operator.settle()
    pods = site.small_pods()
    assert names_of(pods) == before
    for pod in pods:
        marks = pod["metadata"].get("annotations", {})
        assert labels.DRAIN_DEADLINE not in marks
        assert labels.POD_DELETION_COST not in marks


def test_a_pod_that_was_deleted_by_somebody_else_needs_no_drain_of_ours(ready, operator):
    """Its supervisor drains it at SIGTERM; the operator neither waits for it nor marks it."""
    site: Site = ready(small={"instances": {"min": 2}})
    gone = site.small_pods()[0]["metadata"]
    site.cluster.api.delete(site.path("pods", gone["name"]))
    site.eventually(lambda: len([p for p in site.small_pods() if p["metadata"]["uid"] != gone["uid"]]) == 2)
    operator.settle()
    assert site.status().get("lastDrain") is None
