"""Who sets the counts: kubectl scale, autoscalers, bounds, and who gives way to whom."""

from datetime import datetime, timedelta

from heterofleet.api import labels
from reconcile.operator import Operator
from reconcile.site import Site
from testbed.controlplane import Manifest


def tier(site: Site, name: str = "small") -> Manifest:
    return site.get(labels.TIER_PLURAL, f"chat-{name}")


def override(site: Site, name: str = "small") -> Manifest | None:
    found: Manifest | None = site.status()[name].get("override")
    return found


def ready_count(site: Site, name: str = "small") -> str:
    summary: str = site.status()[name]["summary"]
    return summary


def test_a_count_set_by_kubectl_scale_is_kept_shown_and_taken_back_when_its_time_is_over(ready, operator: Operator):
    site: Site = ready(small={"instances": {"min": 1, "max": 4}}, scaling={"overrideSeconds": 600})
    site.scale("small", 3)
    site.eventually(lambda: ready_count(site) == "3/3")
    told = override(site)
    assert told is not None
    assert (told["instances"], told["by"]) == (3, "kubectl")
    ends = datetime.fromisoformat(told["until"]) - operator.now()
    assert timedelta(seconds=560) < ends <= timedelta(seconds=600)
    operator.settle()
    assert tier(site)["spec"]["instances"] == 3
    operator.restart()
    operator.advance(500)
    operator.settle()
    assert override(site) == told, "neither time nor a restart changes what was promised"
    operator.advance(101)
    site.eventually(lambda: (tier(site)["spec"]["instances"], override(site)) == (1, None))
    drains(site, operator)
    site.eventually(lambda: ready_count(site) == "1/1")


def drains(site: Site, operator: Operator, rounds: int = 4) -> None:
    """Let the looks of a drain pass."""
    for _ in range(rounds):
        operator.advance(1.5)
        operator.settle()


def test_a_release_ends_an_override_at_once(ready, operator: Operator):
    site: Site = ready(small={"instances": {"min": 1, "max": 4}})
    site.scale("small", 2)
    site.eventually(lambda: ready_count(site) == "2/2")
    site.annotate(release=operator.now().isoformat(timespec="seconds"))
    site.eventually(lambda: (tier(site)["spec"]["instances"], override(site)) == (1, None))
    operator.advance(2)
    site.scale("small", 3)
    site.eventually(lambda: override(site) is not None and ready_count(site) == "3/3")
    operator.settle()
    assert tier(site)["spec"]["instances"] == 3, "an old release ends no later override"


def test_a_release_ends_in_what_the_plan_would_have_and_plans_after_it_keep_that(ready, operator: Operator):
    site: Site = ready(small={"instances": {"min": 1, "max": 4}})
    site.scale("small", 3)
    site.eventually(lambda: ready_count(site) == "3/3")
    operator.plan()
    site.eventually(lambda: "plan" in site.status())
    operator.advance(2)
    site.annotate(release=operator.now().isoformat(timespec="seconds"))
    site.eventually(lambda: (tier(site)["spec"]["instances"], override(site)) == (1, None))
    operator.advance(60)
    operator.plan()
    operator.settle()
    assert (tier(site)["spec"]["instances"], override(site)) == (1, None)


def test_an_external_writer_sets_the_count_and_is_never_taken_back(ready, operator: Operator):
    site: Site = ready(
        small={"instances": {"min": 1, "max": 4}}, scaling={"overrideSeconds": 10, "small": {"writer": "External"}}
    )
    site.scale("small", 3)
    site.eventually(lambda: ready_count(site) == "3/3")
    operator.advance(3600)
    operator.settle()
    assert (tier(site)["spec"]["instances"], override(site), ready_count(site)) == (3, None, "3/3")


def test_a_deleted_tier_comes_back_with_the_count_that_runs(ready, operator: Operator):
    site: Site = ready(small={"instances": {"min": 1, "max": 4, "warm": 1}}, scaling={"small": {"writer": "External"}})
    site.scale("small", 2)
    site.eventually(lambda: ready_count(site) == "3/3")
    operator.settle()
    before = tier(site)["metadata"]["uid"]
    site.cluster.api.delete(site.path(labels.TIER_PLURAL, "chat-small"))

    def is_back() -> bool:
        found = site.find(labels.TIER_PLURAL, "chat-small")
        return found is not None and found["metadata"]["uid"] != before

    site.eventually(is_back)
    operator.settle()
    assert (tier(site)["spec"]["instances"], ready_count(site)) == (2, "3/3")


def test_a_deleted_tier_with_an_override_comes_back_with_it(ready, operator: Operator):
    site: Site = ready(small={"instances": {"min": 1, "max": 4}})
    site.scale("small", 2)
    site.eventually(lambda: ready_count(site) == "2/2")
    operator.settle()
    told = override(site)
    site.cluster.api.delete(site.path(labels.TIER_PLURAL, "chat-small"))
    site.eventually(lambda: site.find(labels.TIER_PLURAL, "chat-small"))
    operator.settle()
    assert (tier(site)["spec"]["instances"], override(site), ready_count(site)) == (2, told, "2/2")


def test_a_count_out_of_range_is_clamped_in_status_and_left_in_the_field(ready, operator: Operator):
    site: Site = ready(small={"instances": {"min": 1, "max": 2}})
    site.scale("small", 9)
    site.eventually(lambda: ready_count(site) == "2/2")
    operator.settle()
    assert (tier(site)["spec"]["instances"], site.condition("ScalingLimited")[:2]) == (9, ("True", "AboveMax"))
    assert "instances.max is 2" in site.condition("ScalingLimited")[2]
    site.scale("small", 0)
    site.wait("ScalingLimited", "True", "BelowMin")
    assert tier(site)["spec"]["instances"] == 0


def test_scale_counts_one_pod_an_instance_and_no_draining_ones(ready, operator: Operator):
    site: Site = ready(nodes=5, large={"instances": {"min": 2}}, small={"instances": {"min": 2}})
    operator.settle()
    for name in ("large", "small"):
        scale = site.cluster.api.get(f"{site.path(labels.TIER_PLURAL, f'chat-{name}')}/scale")
        assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (2, 2)
        assert len(site.pods(scale["status"]["selector"])) == 2
    operator.engines.in_flight["chat-large-0-0"] = operator.engines.in_flight["chat-large-1-0"] = 3
    site.edit(large={"instances": {"min": 1}})
    site.eventually(lambda: site.status()["large"]["draining"] == 1)
    operator.settle()
    scale = site.cluster.api.get(f"{site.path(labels.TIER_PLURAL, 'chat-large')}/scale")
    assert (scale["status"]["replicas"], len(site.pods(scale["status"]["selector"]))) == (1, 1)


def test_warm_instances_run_and_serve_beyond_the_count_within_max(ready, operator: Operator):
    site: Site = ready(small={"instances": {"min": 1, "max": 3, "warm": 1}})
    operator.settle()
    assert (tier(site)["spec"]["instances"], ready_count(site)) == (1, "2/2")
    site.scale("small", 3)
    site.eventually(lambda: ready_count(site) == "3/3")
