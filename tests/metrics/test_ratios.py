"""The ratios of contracts.md, evaluated by promtool over what routers and operators tell: each number by hand."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from heterofleet.metrics import ratios, rules, shipped
from metrics import promtool

R, O = "heterofleet_router_", "heterofleet_operator_"  # noqa: E741  the prefixes of routers and of the operator
FLEET = '{fleet="f", namespace="a"}'
ACT, PLAN = '{class="act", fleet="f", namespace="a"}', '{class="plan", fleet="f", namespace="a"}'
LARGE, SMALL = '{fleet="f", namespace="a", tier="large"}', '{fleet="f", namespace="a", tier="small"}'
MINUTES = "x110"


pytestmark = pytest.mark.usefixtures("needs_promtool")


def named(metric: str, pod: str, **labels: str) -> str:
    written = {
        "namespace": "a",
        "fleet": "f",
        "pod": pod,
        **{name.rstrip("_"): value for name, value in labels.items()},
    }
    return metric + "{" + ",".join(f'{label}="{value}"' for label, value in written.items()) + "}"


def counted(name: str, per_minute: float, router: str = "r1", **labels: str) -> dict[str, str]:
    """A counter of a router that rises by so much a minute from the first on."""
    return {named(R + name, router, **labels): f"0+{per_minute:g}{MINUTES}"}


def told(name: str, value: float, **labels: str) -> dict[str, str]:
    """A gauge that both replicas of the operator tell."""
    return {named(O + name, pod, **labels): f"{value:g}{MINUTES}" for pod in ("op-1", "op-2")}


def scraped(*routers: str) -> dict[str, str]:
    return {named(f"{R}connections", router): f"1{MINUTES}" for router in routers}


def check(folder: Path, given: Mapping[str, str], expected: Mapping[str, promtool.Expected], at: str = "65m") -> None:
    promtool.check(folder, shipped.recorded(), given, at, expected)


MONEY: Mapping[str, str] = {
    **told("cost_usd_per_hour", 30, tier="large"),
    **told("cost_usd_per_hour", 6, tier="small"),
}
TOKENS: Mapping[str, str] = {
    **counted("completion_tokens_total", 12, "r1", class_="plan", tier="large"),
    **counted("completion_tokens_total", 18, "r1", class_="act", tier="small"),
    **counted("completion_tokens_total", 30, "r2", class_="act", tier="small"),
}


def test_money_that_two_replicas_of_the_operator_tell_is_spent_once(tmp_path: Path):
    """36 USD an hour, held for the 60 minutes that end with the 59th."""
    check(tmp_path, MONEY, {rules.COST: {FLEET: 36.0}, rules.SPENT: {FLEET: 36.0}}, at="59m")


def test_money_goes_on_as_another_replica_takes_over(tmp_path: Path):
    """The first tells 36 USD an hour up to minute 29, and the other from minute 30 on."""
    handed_over = {
        named(f"{O}cost_usd_per_hour", "op-1", tier="large"): "36x29 stale",
        named(f"{O}cost_usd_per_hour", "op-2", tier="large"): f"_x30 36{MINUTES}",
    }
    check(tmp_path, handed_over, {rules.COST: {FLEET: 36.0}, rules.SPENT: {FLEET: 36.0}}, at="59m")


def test_the_cost_of_a_token_is_all_money_over_the_tokens_of_answers(tmp_path: Path):
    """36 USD an hour are 0.01 a second, in which one token is answered (12 + 18 + 30 a minute)."""
    check(tmp_path, {**MONEY, **TOKENS}, {ratios.COST_PER_TOKEN: {FLEET: 0.01}})


def test_the_cost_of_a_token_is_unknown_without_money_and_without_tokens(tmp_path: Path):
    idle = counted("completion_tokens_total", 0, class_="act", tier="small")
    unknown: Mapping[str, promtool.Expected] = {ratios.COST_PER_TOKEN: {}}
    cases = [promtool.Case(given, {"65m": unknown}) for given in (MONEY, TOKENS, {**MONEY, **idle})]
    promtool.check_all(tmp_path, shipped.recorded(), cases)


def test_the_saving_is_held_against_the_same_tokens_by_the_large_tier(tmp_path: Path):
    """3 USD a minute at posted prices (2 at one router, 1 at the other) that would have been 12."""
    posted = {
        **counted("cost_usd_total", 2, "r1", class_="plan", tier="large"),
        **counted("cost_usd_total", 1, "r2", class_="act", tier="small"),
        **counted("cost_all_large_usd_total", 2, "r1", class_="plan", tier="large"),
        **counted("cost_all_large_usd_total", 10, "r2", class_="act", tier="small"),
    }
    without = {name: values for name, values in posted.items() if "all_large" not in name}
    free = dict.fromkeys(posted, f"0{MINUTES}")
    cases = [promtool.Case(posted, {"65m": {ratios.SAVINGS: {FLEET: 0.75}}})]
    cases += [promtool.Case(given, {"65m": {ratios.SAVINGS: {}}}) for given in (without, free)]
    promtool.check_all(tmp_path, shipped.recorded(), cases)


WORK: Mapping[str, str] = {
    **counted("completion_tokens_total", 600, class_="act", tier="small"),
    **counted("prompt_tokens_total", 6000, class_="act", tier="small"),
    **told("prompt_weight", 0.1),
    **told("instances", 2, tier="small", state="Ready"),
    **told("instances", 5, tier="small", state="Starting"),
    **told("capacity_tokens_per_second", 20, tier="small"),
}


def test_utilisation_is_work_served_by_what_ready_instances_carry(tmp_path: Path):
    """10 tokens of answers and 100 of prompts a second at 0.1 each are 20; two Ready instances carry 40."""
    check(tmp_path, WORK, {ratios.SERVED: {SMALL: 20.0}, ratios.UTILISATION: {SMALL: 0.5}})


@pytest.mark.parametrize("unknown", ["prompt_weight", "capacity_tokens_per_second", "instances"])
def test_utilisation_is_unknown_without_what_it_is_made_from(tmp_path: Path, unknown: str):
    less = {name: values for name, values in WORK.items() if O + unknown not in name}
    check(tmp_path, less, {ratios.UTILISATION: {}})


def test_a_tier_without_ready_instances_has_no_utilisation(tmp_path: Path):
    check(tmp_path, {**WORK, **told("instances", 0, tier="small", state="Ready")}, {ratios.UTILISATION: {}})


def test_an_endpoint_that_two_routers_know_is_one(tmp_path: Path):
    """Each router knows them all, and one has not yet heard of the third."""
    known = {
        named(f"{R}endpoints", router, tier="small", state=state): f"{count}{MINUTES}"
        for router, state, count in (("r1", "serving", 2), ("r2", "serving", 3), ("r1", "draining", 4))
    }
    check(tmp_path, known, {ratios.ENDPOINTS: {SMALL: 3.0}})


def ended(per_minute: float, outcome: str, *, of: str = "act", tier: str = "small") -> dict[str, str]:
    return counted("requests_total", per_minute, class_=of, tier=tier, outcome=outcome)


ASKED: Mapping[str, str] = {
    **scraped("r1", "r2"),
    **counted("offered_total", 40, "r1", class_="act"),
    **counted("offered_total", 20, "r2", class_="act"),
    **counted("escalations_total", 5, "r1", class_="act", reason="truncated"),
    **counted("escalations_total", 1, "r2", class_="act", reason="bad"),
    **counted("retries_total", 3, "r1", class_="act", reason="failed"),
}
ENDED: Mapping[str, str] = {
    **scraped("r1"),
    # 60 were the fleet's to answer, 48 of which it answered whole, and 9 of which it broke.
    **ended(42, "ok"),
    **ended(6, "cached", tier="none"),
    **ended(3, "flawed"),
    **ended(6, "failed"),
    **ended(2, "cut_off"),
    **ended(1, "rejected", tier="none"),
    # These were not.
    **ended(11, "client_error", tier="none"),
    **ended(12, "unauthorised", tier="none"),
    **ended(13, "cancelled"),
    **ended(14, "denied"),
    **ended(15, "budget", tier="none"),
}
SPANS = tuple(ratios.RATE_WINDOWS)


def over(record: str, expected: promtool.Expected) -> dict[str, promtool.Expected]:
    """The same of each window: the counters rise evenly."""
    return {f"{record}{span}": expected for span in SPANS}


def test_rates_of_escalation_and_retry_are_by_requests_that_came(tmp_path: Path):
    """6 and 3 of 60 a minute; nobody asks for plans, so that these have no rate."""
    check(tmp_path, ASKED, {**over(ratios.ESCALATION_RATE, {ACT: 0.1}), **over(ratios.RETRY_RATE, {ACT: 0.05})})


def test_a_class_that_never_escalates_has_the_rate_zero(tmp_path: Path):
    calm = {name: values for name, values in ASKED.items() if "escalations" not in name and "retries" not in name}
    calm |= counted("offered_total", 6, "r1", class_="plan")
    zero = {ACT: 0.0, PLAN: 0.0}
    check(tmp_path, calm, {**over(ratios.ESCALATION_RATE, zero), **over(ratios.RETRY_RATE, zero)})


def test_success_is_judged_by_what_was_the_fleets_to_answer(tmp_path: Path):
    check(tmp_path, ENDED, over(ratios.SUCCESS_RATE, {ACT: 0.8}))


def test_a_class_that_never_succeeds_has_the_rate_zero_and_one_that_only_errs_itself_has_none(tmp_path: Path):
    given = {**scraped("r1"), **ended(6, "failed"), **ended(6, "client_error", of="plan", tier="none")}
    check(tmp_path, given, over(ratios.SUCCESS_RATE, {ACT: 0.0}))


def test_failures_are_a_share_of_what_was_the_fleets_to_answer(tmp_path: Path):
    """9 of 60; a flawed answer is no failed one."""
    well = {**scraped("r1"), **ended(42, "ok")}
    spoilt = {**scraped("r1"), **ended(6, "client_error", tier="none")}
    told_of = f"{ratios.FAILED}5m"
    cases = [
        promtool.Case(given, {"65m": {told_of: expected}})
        for given, expected in ((ENDED, {FLEET: 0.15}), (well, {FLEET: 0.0}), (spoilt, {}))
    ]
    promtool.check_all(tmp_path, shipped.recorded(), cases)


def took(seconds: float, count: float, *, of: str, tier: str) -> dict[str, str]:
    """So many requests a minute that took so many seconds in all."""
    return {
        **counted("request_seconds_sum", seconds, class_=of, tier=tier),
        **counted("request_seconds_count", count, class_=of, tier=tier),
    }


def test_the_cross_tier_time_is_what_an_act_answer_of_the_large_tier_takes_longer(tmp_path: Path):
    """120 s for 12 answers are 10 s each, 120 s for 60 are 2; plans do not count."""
    large, small = took(120, 12, of="act", tier="large"), took(120, 60, of="act", tier="small")
    both = {**large, **small, **took(900, 6, of="plan", tier="large")}
    none_large = {**both, **took(0, 0, of="act", tier="large")}
    cases = [
        promtool.Case(given, {"65m": {ratios.CROSS_TIER: expected}})
        for given, expected in ((both, {ACT: 8.0}), (large, {}), (none_large, {}))
    ]
    promtool.check_all(tmp_path, shipped.recorded(), cases)


HISTOGRAMS = [
    (ratios.FIRST_LATE, "time_to_first_token_seconds", "objective_first_token_weight"),
    (ratios.NEXT_LATE, "inter_token_seconds", "objective_inter_token_weight"),
]


def observed(histogram: str, values: Mapping[str, str], tier: str = "small") -> dict[str, str]:
    """The buckets of a histogram by their bounds; that of +Inf is its count."""
    labels = {"class_": "act", "tier": tier}
    buckets = {named(f"{R}{histogram}_bucket", "r1", le=le, **labels): value for le, value in values.items()}
    return {**buckets, named(f"{R}{histogram}_count", "r1", **labels): values["+Inf"]}


@pytest.mark.parametrize(("late", "histogram", "weight"), HISTOGRAMS)
def test_late_is_what_the_objective_of_the_tier_does_not_count_as_in_time(
    tmp_path: Path, late: str, histogram: str, weight: str
):
    """The bound lies amid two buckets: half of 54 and half of 60 of 60 a minute are in time, and 3 late.

    The large tier has no objective, and so no lateness.
    """
    buckets = {"0.5": f"0+54{MINUTES}", "1.0": f"0+60{MINUTES}", "+Inf": f"0+60{MINUTES}"}
    given = {
        **observed(histogram, buckets),
        **observed(histogram, buckets, "large"),
        **told(weight, 0.5, tier="small", le="0.5"),
        **told(weight, 0.5, tier="small", le="1.0"),
    }
    check(tmp_path, given, {f"{late}5m": {SMALL: 0.05}, f"{late}1h": {SMALL: 0.05}})


def test_a_share_over_a_long_window_weighs_requests_and_not_minutes(tmp_path: Path):
    """60 a minute for 20 minutes, in time; 120 a minute for 15, all late; then nothing: 1,800 of 3,000 are late."""
    rising = "1000x40 1060+60x19"
    given = {
        **observed("inter_token_seconds", {"0.1": f"{rising} 2200x60", "+Inf": f"{rising} 2320+120x14 4000x60"}),
        **told("objective_inter_token_weight", 1, tier="small", le="0.1"),
    }
    expected = {f"{ratios.NEXT_LATE}{span}": {SMALL: 0.6} for span in ("1h", "6h", "3d")}
    check(tmp_path, given, {f"{ratios.NEXT_LATE}5m": {}, **expected}, at="90m")


@pytest.mark.parametrize(("late", "histogram", "weight"), HISTOGRAMS)
def test_nothing_is_late_where_nobody_asks(tmp_path: Path, late: str, histogram: str, weight: str):
    idle = observed(histogram, {"0.5": f"0{MINUTES}", "+Inf": f"0{MINUTES}"})
    check(tmp_path, {**idle, **told(weight, 1, tier="small", le="0.5")}, {f"{late}5m": {}, f"{late}1h": {}})


def test_an_error_budget_is_what_the_attainment_leaves(tmp_path: Path):
    given = {**told("objective_attainment", 0.99, tier="large"), **told("objective_attainment", 0.9, tier="small")}
    check(tmp_path, given, {ratios.ERROR_BUDGET: {LARGE: 0.01, SMALL: 0.1}})


def test_fleets_of_one_name_in_two_namespaces_do_not_mix(tmp_path: Path):
    here = {**MONEY, **WORK}
    there = {name.replace('namespace="a"', 'namespace="b"'): values for name, values in here.items()}
    there |= {name: f"3{MINUTES}" for name in there if "prompt_weight" in name}

    def elsewhere(labels: str) -> str:
        return labels.replace('"a"', '"b"')

    # 10 + 100 x 3 a second in the other namespace, of 40.
    expected = {
        rules.COST: {FLEET: 36.0, elsewhere(FLEET): 36.0},
        ratios.UTILISATION: {SMALL: 0.5, elsewhere(SMALL): 7.75},
    }
    check(tmp_path, {**here, **there}, expected)
