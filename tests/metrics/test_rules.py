"""The recording rules, evaluated by promtool: each number here was worked out by hand."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from heterofleet.metrics import queries, rules
from heterofleet.router.metrics import Metrics
from metrics import promtool

ACT, PLAN = '{class="act", fleet="f", namespace="a"}', '{class="plan", fleet="f", namespace="a"}'
R = "heterofleet_router_"
MINUTES = "x110"


def series(name: str, per_minute: float, router: str = "r1", **labels: str) -> dict[str, str]:
    """A counter of a router that rises by so much a minute from the first on."""
    return {named(name, router, **labels): f"0+{per_minute:g}{MINUTES}"}


def named(name: str, router: str = "r1", **labels: str) -> str:
    written = {"namespace": "a", "fleet": "f", "pod": router, **labels}
    return R + name + "{" + ",".join(f'{label}="{value}"' for label, value in written.items()) + "}"


def scraped(*routers: str) -> dict[str, str]:
    return {named("connections", router): f"1+0{MINUTES}" for router in routers}


BUSY: Mapping[str, str] = {
    **scraped("r1", "r2"),
    # Offered: 90 act requests a minute at two routers, 6 plan requests at one.
    **series("offered_total", 60, "r1", **{"class": "act"}),
    **series("offered_total", 30, "r2", **{"class": "act"}),
    **series("offered_total", 6, "r1", **{"class": "plan"}),
    # Of these, 9 came out of a cache, 3 had no money left, and 6 found no place: the last are demand.
    **series("cache_hits_total", 9, "r1", **{"class": "act", "cache": "exact"}),
    **series("requests_total", 9, "r1", **{"class": "act", "tier": "none", "outcome": "cached"}),
    **series("requests_total", 3, "r2", **{"class": "act", "tier": "none", "outcome": "budget"}),
    **series("requests_total", 6, "r2", **{"class": "act", "tier": "none", "outcome": "rejected"}),
    # 60 were answered by the small tier, and 12 by the large one: 6 after a bad small answer, 6 since it was idle.
    **series("requests_total", 60, "r1", **{"class": "act", "tier": "small", "outcome": "ok"}),
    **series("requests_total", 12, "r2", **{"class": "act", "tier": "large", "outcome": "ok"}),
    **series("escalations_total", 6, "r1", **{"class": "act", "reason": "truncated"}),
    **series("requests_total", 6, "r1", **{"class": "plan", "tier": "large", "outcome": "flawed"}),
    # Each prompt has 100 tokens (plan: 500), each small answer 20, each large one 35 (plan: 400).
    **series("prompt_tokens_total", 6600, "r1", **{"class": "act", "tier": "small"}),
    **series("prompt_tokens_total", 1200, "r2", **{"class": "act", "tier": "large"}),
    **series("prompt_tokens_total", 3000, "r1", **{"class": "plan", "tier": "large"}),
    **series("completion_tokens_total", 1320, "r1", **{"class": "act", "tier": "small"}),
    **series("completion_tokens_total", 420, "r2", **{"class": "act", "tier": "large"}),
    **series("completion_tokens_total", 2400, "r1", **{"class": "plan", "tier": "large"}),
}


pytestmark = pytest.mark.usefixtures("needs_promtool")


def check(folder: Path, given: Mapping[str, str], expected: Mapping[str, promtool.Expected], at: str = "65m") -> None:
    promtool.check(folder, rules.file(), given, at, expected)


def test_demand_leaves_out_cache_hits_and_empty_budgets_but_not_what_found_no_place(tmp_path: Path):
    # 90 - 9 - 3 = 78 a minute.
    check(tmp_path, BUSY, {rules.DEMAND: {ACT: 1.3, PLAN: 0.1}})


def test_an_escalated_request_is_offered_once(tmp_path: Path):
    """78 answers a minute (60 + 12, and 6 that were thrown away) with 7,800 prompt and 1,740 completion tokens."""
    expected = {rules.OFFERED_PROMPT: {ACT: 130.0, PLAN: 50.0}, rules.OFFERED_COMPLETION: {ACT: 29.0, PLAN: 40.0}}
    check(tmp_path, BUSY, expected)


def test_more_escalations_change_the_escalated_work_and_not_what_is_offered(tmp_path: Path):
    """Of the same small answers twelve a minute are bad now, and all that the large tier answers is escalated."""
    more = {**BUSY, **series("escalations_total", 12, "r1", **{"class": "act", "reason": "truncated"})}
    more |= series("requests_total", 54, "r1", **{"class": "act", "tier": "small", "outcome": "ok"})
    zero = {PLAN: 0.0}
    expected = {
        rules.OFFERED_PROMPT: {ACT: 130.0, PLAN: 50.0},
        rules.ESCALATED_PROMPT: {ACT: 20.0, **zero},
        rules.SPILLED_PROMPT: {ACT: 0.0},
    }
    check(tmp_path, more, expected)


def test_work_of_the_large_tier_for_act_is_escalated_or_spilled(tmp_path: Path):
    expected = {
        rules.ESCALATED_PROMPT: {ACT: 10.0, PLAN: 0.0},
        rules.ESCALATED_COMPLETION: {ACT: 3.5, PLAN: 0.0},
        rules.SPILLED_PROMPT: {ACT: 10.0},
        rules.SPILLED_COMPLETION: {ACT: 3.5},
        rules.HOURLY_PROMPT: {ACT: 130.0, PLAN: 50.0},
        rules.CACHE_HITS: {ACT: 0.1, PLAN: 0.0},
    }
    check(tmp_path, BUSY, expected)


def test_a_bias_that_moves_act_work_to_the_large_tier_leaves_what_is_offered(tmp_path: Path):
    """Demand is counted by class: all tokens of act at the other tier, the same demand."""
    moved = {
        **{name: values for name, values in BUSY.items() if 'class="act"' not in name or "_tokens_" not in name},
        **series("prompt_tokens_total", 7800, "r1", **{"class": "act", "tier": "large"}),
        **series("completion_tokens_total", 1740, "r1", **{"class": "act", "tier": "large"}),
    }
    check(
        tmp_path,
        moved,
        {rules.OFFERED_PROMPT: {ACT: 130.0, PLAN: 50.0}, rules.OFFERED_COMPLETION: {ACT: 29.0, PLAN: 40.0}},
    )


def test_a_class_that_nobody_asked_for_is_idle_where_routers_are_scraped(tmp_path: Path):
    idle = {ACT: 0.0, PLAN: 0.0}
    check(tmp_path, scraped("r1"), {rules.DEMAND: idle, rules.OFFERED_PROMPT: idle, rules.OFFERED_COMPLETION: idle})


def test_where_no_router_is_scraped_nothing_is_known(tmp_path: Path):
    gone = {name: f"{values.removesuffix(MINUTES)}x100 stale" for name, values in BUSY.items()}
    names = (rules.DEMAND, rules.OFFERED_PROMPT, rules.HOURLY_PROMPT, rules.NEWEST_SAMPLE)
    check(tmp_path, gone, {name: {} for name in names}, at="102m")


def test_a_restarted_router_is_no_negative_load(tmp_path: Path):
    """The counters of r1 begin again at zero: what it counted before the restart is lost, for a minute."""
    again = {name: "0+60x99 0+60x80" if "offered" in name and "r1" in name and "act" in name else values
             for name, values in BUSY.items()}  # fmt: skip
    check(tmp_path, again, {rules.DEMAND: {ACT: 1.3, PLAN: 0.1}}, at="103m")
    # 60 + 0 in two minutes at r1, 60 at r2, less 24 that ask for no work.
    check(tmp_path, again, {rules.DEMAND: {ACT: 0.8, PLAN: 0.1}}, at="100m")


def test_the_work_of_an_answer_is_that_of_the_last_hour_while_nothing_is_answered(tmp_path: Path):
    """All engines are gone from minute 50 on: what is offered is as much work as it was (7,800 tokens, 78 answers)."""
    out = {name: values if _goes_on(name) else until(values, 50) for name, values in BUSY.items()}
    expected = {rules.DEMAND: {ACT: 1.3, PLAN: 0.1}, rules.OFFERED_PROMPT: {ACT: 130.0, PLAN: 50.0}}
    check(tmp_path, out, expected)


def _goes_on(name: str) -> bool:
    return any(word in name for word in ("connections", "offered", "cache_hits", "cached", "budget", "rejected"))


def until(values: str, minute: int) -> str:
    """The same counter, which rises no more from a minute on."""
    step = float(values.removeprefix("0+").removesuffix(MINUTES))
    return f"0+{step:g}x{minute} {step * minute:g}+0x60"


def test_requests_whose_tokens_nobody_counts_are_no_work_of_zero(tmp_path: Path):
    """A lean router that streams without usage: the class that is asked for is not known, the idle one is."""
    lean = {name: values for name, values in BUSY.items() if "_tokens_" not in name and 'class="plan"' not in name}
    check(
        tmp_path,
        lean,
        {rules.DEMAND: {ACT: 1.3, PLAN: 0.0}, rules.OFFERED_PROMPT: {PLAN: 0.0}, rules.OFFERED_COMPLETION: {PLAN: 0.0}},
    )


def test_fleets_do_not_mix(tmp_path: Path):
    other = {name.replace('fleet="f"', 'fleet="g"'): values for name, values in BUSY.items()}
    of_both = {ACT: 130.0, PLAN: 50.0, ACT.replace('"f"', '"g"'): 130.0, PLAN.replace('"f"', '"g"'): 50.0}
    check(tmp_path, {**BUSY, **other}, {rules.OFFERED_PROMPT: of_both})


def test_engines_count_by_tier_whatever_cores_and_models_they_have(tmp_path: Path):
    def of(name: str, tier: str, instance: str, per_minute: int, **more: str) -> dict[str, str]:
        labels = {"namespace": "a", "fleet": "f", "tier": tier, "pool": "default", "instance": instance, **more}
        return {
            f"vllm:{name}" + "{" + ",".join(f'{k}="{v}"' for k, v in labels.items()) + "}": f"0+{per_minute}{MINUTES}"
        }

    engines = {
        **of("generation_tokens_total", "large", "0", 600, engine="0"),
        **of("generation_tokens_total", "large", "0", 300, engine="1"),
        **of("generation_tokens_total", "small", "p1", 120, engine="0"),
        **of("num_requests_running", "large", "0", 0, engine="0"),
        **of("num_requests_running", "large", "0", 0, engine="1"),
        **of("num_requests_running", "small", "p1", 0, engine="0"),
        **of("num_requests_running", "small", "p2", 0, engine="0"),
        # An engine that is none of a fleet.
        'vllm:generation_tokens_total{instance="x"}': f"0+999{MINUTES}",
    }
    large, small = (f'{{fleet="f", namespace="a", tier="{tier}"}}' for tier in ("large", "small"))
    expected = {
        rules.ENGINE_GENERATION: {large: 15.0, small: 2.0},
        queries.INSTANT[queries.Signal.ENGINES].expression: {large: 1.0, small: 2.0},
    }
    check(tmp_path, engines, expected)


def test_every_series_of_a_router_that_is_asked_for_is_one_that_routers_have():
    asked = set(re.findall(rf"{R}\w+", yaml.safe_dump(rules.file()) + str(queries.INSTANT)))
    families = {family.name for family in Metrics().families()}
    had = families | {f"{name}_total" for name in families} | {f"{name}_bucket" for name in families}
    gauges = {
        f"{R}{name}" for name in ("connections", "queue_requests", "queue_oldest_age_seconds", "in_flight_requests")
    }
    assert asked - had == gauges


def test_no_signal_is_a_utilisation_of_gpus():
    assert not re.search(r"(?i)dcgm|gpu_util|nvidia", yaml.safe_dump(rules.file()) + str(queries.INSTANT))


@pytest.mark.parametrize(("scale", "said"), [(1.0, "2m"), (60.0, "2s"), (100.0, "1200ms")])
def test_windows_shrink_as_time_runs_faster(scale: float, said: str):
    assert rules.window(120, scale) == said


def test_rules_of_compressed_time_differ_in_their_durations_alone():
    ordinary, fast = (yaml.safe_dump(rules.file(scale)) for scale in (1.0, 60.0))
    assert fast != ordinary
    durations = re.compile(r"\[\w+\]|interval: \w+")
    assert durations.sub("", fast) == durations.sub("", ordinary)
