"""The plan as a whole: what both tiers get, and why."""

from heterofleet.api.labels import Tier
from heterofleet.api.planned import Bound
from heterofleet.planning import plan
from unit.planning import situations
from unit.planning.situations import counts, load, situation, spec


def test_each_tier_gets_the_instances_that_carry_its_upper_forecast():
    made = plan.plan(
        situation(spec(), large=situations.large(3), small=situations.small(5), plan=load(350, 40), act=load(800, 100))
    )
    assert counts(made) == (4, 9)
    assert {tier: found.bound for tier, found in made.tiers.items()} == {
        Tier.LARGE: Bound.FORECAST,
        Tier.SMALL: Bound.FORECAST,
    }
    assert (made.usd_per_hour_before, made.usd_per_hour) == (2 * (24 + 5), 2 * (32 + 9))
