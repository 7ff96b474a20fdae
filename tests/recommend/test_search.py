"""The search finds what exhaustive search finds, and what it finds holds its objective under the operator's plan."""

import numpy as np
import pytest

from heterofleet.api.labels import Tier
from heterofleet.planning import catalogue
from heterofleet.recommend import advice, alone, answers, search
from heterofleet.recommend.answers import Answers
from heterofleet.recommend.errors import NothingHolds
from heterofleet.recommend.search import Space
from heterofleet.recommend.trials import Trials
from heterofleet.recommend.wishes import Wishes
from heterofleet.simulate import fluid
from heterofleet.simulate.fluid import Independent, Load, Pool, Seen
from heterofleet.simulate.study import Wanted
from heterofleet.simulate.trace import Trace
from recommend import exhaustive, traces

QUANTILES = (0.975, 0.99)


def trials(trace: Trace, wishes: Wishes | None = None) -> Trials:
    return Trials(trace, wishes or Wishes(), catalogue.load(), Wanted(escalation_rate=0.05), QUANTILES)


@pytest.mark.parametrize("name", traces.NAMES)
def test_a_recommended_fleet_holds_with_at_most_a_twentieth_more_than_the_best_of_all(name: str) -> None:
    tried = trials(traces.days(name, 0, 0.25))
    space = Space(advice.space_of(tried, 2).shapes, (0.0, 0.5))
    found, best = search.best(tried, space, lambda _: None), exhaustive.best(tried, space)
    assert found.holds
    assert found.gpu_hours <= 1.05 * best.gpu_hours


def test_one_tier_alone_is_the_fluid_of_a_policy_that_knows_its_counts() -> None:
    chance = np.random.default_rng(5)
    arrived = 100 * chance.uniform(2, 9, 300)
    pool = Pool(capacity=100.0, startup_minutes=4, gpus=8, drain_minutes=1)
    counts = alone.counts(arrived, pool.capacity, least=3)

    class Following:
        def decide(self, seen: Seen) -> int:
            return int(counts[seen.minute])

    # The first count is there from the beginning.
    begun = Pool(pool.capacity, pool.startup_minutes, int(counts[0]), pool.drain_minutes, pool.gpus)
    played = fluid.run(Load({Tier.LARGE: arrived}), {Tier.LARGE: begun}, Independent({Tier.LARGE: Following()}))
    summed = alone.run(Tier.LARGE, arrived, counts, pool)
    assert summed.gpu_hours == pytest.approx(played.gpu_hours, rel=0.02)
    assert summed.violating_work_share == pytest.approx(played.violating_work_share, abs=0.01)
    assert summed.tracks[Tier.LARGE].served.sum() == pytest.approx(played.tracks[Tier.LARGE].served.sum(), rel=1e-3)


def test_counts_fall_only_when_the_highest_of_five_minutes_has_gone() -> None:
    assert alone.counts(np.array([100.0, 900, 100, 100, 100, 100, 100]), 100, least=2).tolist() == [2, 9, 9, 9, 9, 9, 2]


def test_a_load_that_no_number_of_instances_holds_is_refused_with_how_many_it_takes() -> None:
    tried = trials(answers.trace(Answers(1e6, batch=True)))
    with pytest.raises(NothingHolds, match=r"takes [\d,]+ instances of the large tier, and a fleet has at most 1,000"):
        search.best(tried, advice.space_of(tried, 1), lambda _: None)


def test_gpus_that_do_not_hold_one_instance_are_refused() -> None:
    tried = trials(answers.trace(Answers(1.0)), Wishes(gpus=2))
    with pytest.raises(NothingHolds, match="one instance of the large model takes 4 GPUs, and there are 2"):
        search.best(tried, advice.space_of(tried, 1), lambda _: None)


def test_an_objective_that_no_idle_instance_keeps_is_refused_with_what_can_be_kept() -> None:
    quick = Wishes().objective.model_copy(update={"inter_token_seconds": 0.002})
    tried = trials(answers.trace(Answers(1.0)), Wishes(objective=quick))
    with pytest.raises(NothingHolds, match=r"no idle instance of the large model .* every 0\.\d+ s"):
        search.best(tried, advice.space_of(tried, 1), lambda _: None)
