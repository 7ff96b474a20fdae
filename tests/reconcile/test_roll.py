"""A changed spec replaces groups whole and small pods one by one, within the GPUs there are and without an outage."""

from typing import Any

from heterofleet.api import labels
from reconcile.operator import Operator, with_images
from reconcile.site import Site, gpus_of, is_ready, names_of, state_of, uids_of

CHANGED = {"engine": {"maxModelLen": 4096}}


def step(operator: Operator, seconds: float = 1.5) -> None:
    operator.advance(seconds)
    operator.settle()


def roll(site: Site, operator: Operator, is_over: Any, rounds: int = 40) -> None:
    """Let a roll go on until it is over."""
    for _ in range(rounds):
        if is_over():
            return
        step(operator)
    site.eventually(is_over, 5)


def serving(site: Site, tier: str) -> int:
    pods = site.large_pods() if tier == "large" else site.small_pods()
    return sum(is_ready(pod) and state_of(pod) == "serving" for pod in pods)


def revisions(pods: list[dict[str, Any]]) -> set[str]:
    return {pod["metadata"]["labels"][labels.REVISION] for pod in pods}


def test_a_group_is_replaced_under_a_new_index_before_the_old_one_goes_when_gpus_are_spare(ready, operator):
    site: Site = ready(nodes=4)
    old = uids_of(site.large_pods())
    # The small pod is on one of the four nodes: two whole ones are left.
    site.add_nodes(1)
    site.edit(large=CHANGED)
    seen = []

    def is_over() -> bool:
        seen.append(serving(site, "large"))
        return site.groups() == ["chat-large-1"] and not old & uids_of(site.large_pods())

    roll(site, operator, is_over)
    assert min(seen) >= 2, "the tier served all the time"
    assert "4096" in site.large_pods()[0]["spec"]["containers"][0]["args"]
    site.wait_ready()


def test_without_spare_gpus_the_old_group_drains_first_and_the_tier_goes_on_with_the_others(ready, operator):
    site: Site = ready(nodes=5, large={"instances": {"min": 2}})
    most = site.gpus()
    old = revisions(site.large_pods())
    site.edit(large=CHANGED, scaling={"gpuBudget": 33})
    seen: list[tuple[int, int]] = []

    def is_over() -> bool:
        seen.append((serving(site, "large"), site.gpus()))
        return not old & revisions(site.large_pods()) and len(site.groups()) == 2

    roll(site, operator, is_over)
    assert min(count for count, _ in seen) >= 2
    assert max(gpus for _, gpus in seen) <= most


def test_the_last_instance_of_a_tier_waits_for_allow_outage_and_says_so(ready, operator):
    site: Site = ready(nodes=3, scaling={"gpuBudget": 17})
    before = uids_of(site.large_pods())
    site.edit(large=CHANGED)
    message = site.wait("Stalled", "True", "OutageNotAllowed")
    assert "rollout.allowOutage: true" in message
    for _ in range(4):
        step(operator)
    assert uids_of(site.large_pods()) == before
    site.edit(rollout={"allowOutage": True})
    roll(site, operator, lambda: not before & uids_of(site.large_pods()) and len(site.large_pods()) == 2)
    site.wait_ready()
    assert site.condition("Stalled")[0] == "False"


def test_a_roll_whose_new_group_does_not_become_ready_in_its_time_stops_and_says_so(ready, operator):
    site: Site = ready(nodes=5)
    before = uids_of(site.large_pods())
    broken = {"metadata": {"annotations": {"testbed.heterofleet.io/ready": "false"}}}
    site.edit(large={**CHANGED, "podTemplate": broken, "lifecycle": {"startupTimeoutSeconds": 100}})
    site.eventually(lambda: site.instances() == {0: "Ready", 1: "Starting"})
    step(operator, 390)
    assert site.condition("Stalled")[0] == "False"
    step(operator, 30)
    assert "the roll stopped" in site.wait("Stalled", "True", "RollStuck")
    assert before <= uids_of(site.large_pods()), "the old group serves on"
    assert site.condition("Ready")[0] == "True"
    site.edit(large={"podTemplate": None})
    roll(site, operator, lambda: len(site.large_pods()) == 2 and not before & uids_of(site.large_pods()))
    site.wait_ready()


def test_the_small_tier_rolls_pod_by_pod_and_drains_each_one(ready, operator):
    site: Site = ready(nodes=3, small={"instances": {"min": 3}})
    old = revisions(site.small_pods())
    site.edit(small=CHANGED)
    seen = []

    def is_over() -> bool:
        pods = site.small_pods()
        seen.append(serving(site, "small"))
        return len(pods) == 3 and not old & revisions(pods)

    roll(site, operator, is_over)
    assert min(seen) >= 3
    site.wait_ready()
    operator.settle()
    assert site.names("deployments", f"{labels.TIER}=small") == [
        f"chat-small-default-{site.status()['small']['revision']}"
    ]


def test_the_small_tier_rolls_in_place_of_old_pods_where_no_gpu_is_spare(ready, operator):
    site: Site = ready(nodes=3, small={"instances": {"min": 3}}, scaling={"gpuBudget": 19})
    old = revisions(site.small_pods())
    site.edit(small=CHANGED)
    seen = []

    def is_over() -> bool:
        pods = site.small_pods()
        seen.append((serving(site, "small"), site.gpus()))
        return len(pods) == 3 and not old & revisions(pods)

    roll(site, operator, is_over)
    assert min(count for count, _ in seen) >= 2
    assert max(gpus for _, gpus in seen) <= 19


def test_small_pods_are_replaced_in_place_also_when_their_template_was_deleted_while_nobody_looked(ready, operator):
    site: Site = ready(nodes=3, small={"instances": {"min": 2}}, scaling={"gpuBudget": 18})
    old = revisions(site.small_pods())
    operator.kill()
    for revision in old:
        site.cluster.api.delete(site.path("controllerrevisions", f"chat-small-{revision}"))
    site.edit(small=CHANGED)
    operator.start()
    seen = []

    def is_over() -> bool:
        pods = site.small_pods()
        seen.append((serving(site, "small"), site.gpus()))
        return len(pods) == 2 and not old & revisions(pods)

    roll(site, operator, is_over)
    assert min(count for count, _ in seen) >= 1
    assert max(gpus for _, gpus in seen) <= 18
    operator.settle()
    former = {f"chat-small-default-{revision}" for revision in old}
    assert former.isdisjoint(site.names("deployments"))


def test_a_scale_down_in_the_middle_of_a_roll_ends_at_the_wanted_count_of_the_new_revision(ready, operator):
    site: Site = ready(nodes=3, small={"instances": {"min": 3}})
    old = revisions(site.small_pods())
    site.edit(small=CHANGED)
    site.eventually(lambda: len(revisions(site.small_pods())) == 2)
    site.edit(small={"instances": {"min": 1}})
    roll(site, operator, lambda: len(site.small_pods()) == 1 and not old & revisions(site.small_pods()))
    assert serving(site, "small") == 1


def test_a_new_default_image_restarts_nothing_until_a_roll_is_asked_for(ready, operator):
    site: Site = ready(nodes=5)
    before = uids_of(site.pods())
    operator.kill()
    operator.platform = with_images("engine:next")
    operator.start()
    message = site.wait("UpdateAvailable", "True", "TemplateDiffers")
    assert "large.spec.containers[engine].image" in message
    site.scale("small", 2)
    for _ in range(3):
        step(operator)
    assert before & uids_of(site.pods()) == before
    images = {pod["spec"]["containers"][0]["image"] for pod in site.large_pods() + site.small_pods()}
    assert "engine:next" not in images, "a new pod of a revision is like the others"
    site.annotate(roll=operator.now().isoformat(timespec="seconds"))

    def is_over() -> bool:
        pods = site.large_pods() + site.small_pods()
        return {pod["spec"]["containers"][0]["image"] for pod in pods} == {"engine:next"} and len(pods) in (3, 4)

    roll(site, operator, is_over)
    site.wait("UpdateAvailable", "False", "UpToDate")
    assert sum(gpus_of(pod) for pod in site.large_pods()) == 16


def test_fields_that_shape_no_pod_restart_nothing(ready, operator):
    site: Site = ready()
    before = uids_of(site.pods())
    site.edit(
        large={"lifecycle": {"drainTimeoutSeconds": 120}, "price": {"usdPerGpuHour": 2}, "instances": {"max": 3}},
        rollout={"allowOutage": True},
    )
    site.wait_ready()
    operator.settle()
    assert uids_of(site.pods()) == before
    assert site.status()["cost"]["usdPerHour"] == ""
    assert names_of(site.items("statefulsets")) == ["chat-large-0"]
