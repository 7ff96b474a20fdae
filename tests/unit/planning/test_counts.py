"""Who sets a tier's count, for how long, and which bound holds it."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from heterofleet.api.conditions import Override, Reason
from heterofleet.api.scaling import Writer
from heterofleet.api.tier import Instances
from heterofleet.api.v1alpha1 import FleetSpec
from heterofleet.planning import counts
from heterofleet.planning.counts import Asked, Target, TierObject

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BOUNDS = Instances(min=2, max=6)


def asked(
    found: TierObject | None,
    *,
    writer: Writer = Writer.PLANNER,
    running: int | None = None,
    previous: Override | None = None,
    now: datetime = NOW,
) -> Asked:
    return counts.asked(
        planned=BOUNDS.min, writer=writer, found=found, running=running, previous=previous, override_seconds=60, now=now
    )


OVERRIDE = Override(instances=5, by="kubectl", until=NOW + timedelta(seconds=60))


def test_the_planned_count_is_asked_for_and_written():
    assert asked(None) == Asked(2, 2)
    assert asked(TierObject(2)) == Asked(2, 2)


def test_a_foreign_count_is_an_override_for_a_while():
    assert asked(TierObject(5, "kubectl")) == Asked(5, None, OVERRIDE)
    later = NOW + timedelta(seconds=59)
    assert asked(TierObject(5, "kubectl"), previous=OVERRIDE, now=later) == Asked(5, None, OVERRIDE)


def test_an_override_that_has_run_out_or_is_released_is_taken_back():
    over = NOW + timedelta(seconds=60)
    assert asked(TierObject(5, "kubectl"), previous=OVERRIDE, now=over) == Asked(2, 2)
    assert asked(TierObject(5, "kubectl", released=True), previous=OVERRIDE) == Asked(2, 2)


def test_another_foreign_count_starts_an_override_of_its_own():
    later = NOW + timedelta(seconds=30)
    again = Override(instances=4, by="kubectl", until=later + timedelta(seconds=60))
    assert asked(TierObject(4, "kubectl"), previous=OVERRIDE, now=later) == Asked(4, None, again)


def test_a_deleted_tier_object_comes_back_with_the_count_in_force():
    assert asked(None, previous=OVERRIDE) == Asked(5, 5, OVERRIDE)
    assert asked(None, writer=Writer.EXTERNAL, running=4) == Asked(4, 4)


def test_an_external_count_is_never_written():
    assert asked(TierObject(4, "kube-controller-manager"), writer=Writer.EXTERNAL) == Asked(4, None)


def test_counts_out_of_range_are_clamped_and_said():
    high = counts.bounded(9, BOUNDS)
    assert (high.base, high.total, [limit.reason for limit in high.limits]) == (6, 6, [Reason.ABOVE_MAX])
    low = counts.bounded(0, BOUNDS)
    assert (low.base, low.total, [limit.reason for limit in low.limits]) == (2, 2, [Reason.BELOW_MIN])


def test_warm_instances_run_beyond_the_count_within_max():
    assert counts.bounded(4, Instances(min=1, max=6, warm=1)) == Target(4, 5)
    assert counts.bounded(6, Instances(min=1, max=6, warm=2)) == Target(6, 6)
    assert counts.bounded(1, Instances(min=1, warm=2)) == Target(1, 3)


def spec(budget: int | None, large_gpus: int, small_gpus: int) -> FleetSpec:
    return FleetSpec.model_validate(
        {
            "large": {"model": {"source": "hf://a/b"}, "parallelism": {"tensor": large_gpus}},
            "small": {"model": {"source": "hf://a/c"}, "parallelism": {"tensor": small_gpus}},
            "scaling": {"gpuBudget": budget},
        }
    )


@given(
    budget=st.integers(0, 100),
    large=st.integers(0, 10),
    small=st.integers(0, 30),
    large_gpus=st.sampled_from([1, 2, 4, 8]),
    small_gpus=st.sampled_from([1, 2]),
)
def test_the_budget_is_never_exceeded_and_the_large_tier_comes_first(
    budget: int, large: int, small: int, large_gpus: int, small_gpus: int
):
    fleet = spec(budget, large_gpus, small_gpus)
    first, second = counts.within_budget(fleet, Target(large, large), Target(small, small))
    assert first.total * large_gpus + second.total * small_gpus <= budget
    assert first.total == min(large, budget // large_gpus)
    for target, wanted in ((first, large), (second, small)):
        assert (target.total < wanted) == bool(target.limits)


def test_the_sentence_of_the_budget_says_what_to_write():
    _, small = counts.within_budget(spec(10, 8, 1), Target(1, 1), Target(4, 4))
    assert small.total == 2
    assert small.limits[0].message == (
        "the small tier would have 4 instances of 1 GPUs, scaling.gpuBudget 10 leaves GPUs for 2:"
        " raise gpuBudget to 12 for all of them"
    )
