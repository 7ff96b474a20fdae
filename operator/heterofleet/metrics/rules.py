"""Decides what Prometheus computes each minute, for all fleets at once, so that a tick of the planner asks cheaply.

    demand    = offered - cache hits - requests that budgets or their own errors end     requests a second, by class
    mean      = tokens of answers / answers that have tokens                             of 5 min, else of the last hour
    offered   = demand x mean                                                            tokens a second, by class
    escalated = escalations x mean of the class's answers of the large tier              tokens a second, by class
    spilled   = tokens of act answers of the large tier - escalated                      tokens a second
    spent     = GPUs held x USD an hour, over 24 h, as the operator tells it             USD

Prompt and completion tokens stay apart: work is completion + alpha x prompt, and each fleet has an alpha of its own.
Demand is counted by class and never by tier, so that nothing the plan does moves its own input. What is refused for
want of a place is demand; what a budget refuses asks for no GPU. The mean counts every answer that cost tokens, thrown
away ones too, so that an escalated request is one request of mean work and not two.

A fleet whose routers are scraped has a value for each class, zero included; one whose routers are not has none.
"""

from collections.abc import Iterator
from typing import Final

from heterofleet.api.labels import Manifest, Tier
from heterofleet.api.routing import RequestClass

GROUP: Final = "heterofleet.signals"
STEP_SECONDS: Final = 60.0
"""Time between two evaluations: the minutes of the forecast."""

ROUTERS: Final = "heterofleet:routers:count"
NEWEST_SAMPLE: Final = "heterofleet:routers_newest_sample:timestamp_seconds"
DEMAND: Final = "heterofleet:demand_requests:rate2m"
OFFERED_PROMPT: Final = "heterofleet:offered_prompt_tokens:rate2m"
OFFERED_COMPLETION: Final = "heterofleet:offered_completion_tokens:rate2m"
HOURLY_PROMPT: Final = "heterofleet:offered_prompt_tokens:mean1h"
HOURLY_COMPLETION: Final = "heterofleet:offered_completion_tokens:mean1h"
ESCALATED_PROMPT: Final = "heterofleet:escalated_prompt_tokens:rate1h"
ESCALATED_COMPLETION: Final = "heterofleet:escalated_completion_tokens:rate1h"
SPILLED_PROMPT: Final = "heterofleet:spilled_prompt_tokens:rate1h"
SPILLED_COMPLETION: Final = "heterofleet:spilled_completion_tokens:rate1h"
CACHE_HITS: Final = "heterofleet:cache_hits:ratio1h"
LATENCY_FIRST: Final = "heterofleet:time_to_first_token_seconds_bucket:rate5m"
LATENCY_NEXT: Final = "heterofleet:inter_token_seconds_bucket:rate5m"
COST: Final = "heterofleet:cost_usd_per_hour:sum"
SPENT: Final = "heterofleet:cost_usd:sum24h"
ENGINE_PROMPT: Final = "heterofleet:engine_prompt_tokens:rate2m"
ENGINE_GENERATION: Final = "heterofleet:engine_generation_tokens:rate2m"

_ZERO: Final = "heterofleet:zero_by_class:rate"
"""0 for each class of a fleet whose routers are scraped: a counter that no request has touched is not exposed."""
_ANSWERS: Final = "heterofleet:answers"
_ESCALATIONS: Final = "heterofleet:escalations:rate1h"
_R: Final = "heterofleet_router_"
_CLASSES: Final = "|".join(RequestClass)
_OF_CLASS: Final = f'class=~"{_CLASSES}"'
_WITH_TOKENS: Final = 'outcome=~"ok|flawed|reviewed|denied"'
_WITHOUT_WORK: Final = 'outcome=~"budget|client_error"'
_JUDGED: Final = 'reason=~"bad|improbable|truncated|not_json|refusal|empty|malformed"'
"""Reasons of further attempts whose former answer was whole, so that it has cost tokens."""

HOUR: Final = 3600.0
_SHORT, _LONG, _DAY = 120.0, 300.0, 86_400.0
_UNITS: Final = ((3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms"))
_SPANS: Final = {"rate5m": _LONG, "rate1h": HOUR}
_KINDS: Final = ("prompt", "completion")


def file(scale: float = 1.0) -> Manifest:
    """A rules file of Prometheus; `scale` is how many seconds pass in one of the clock (the test bed's)."""
    return {"groups": [group(scale)]}


def group(scale: float = 1.0) -> Manifest:
    """The group of all rules, in an order in which each finds what it is made from."""
    return {"name": GROUP, "interval": window(STEP_SECONDS, scale), "rules": list(_rules(scale))}


def window(seconds: float, scale: float = 1.0) -> str:
    """A duration of PromQL, as long as `seconds` are where time runs `scale` times as fast."""
    milliseconds = max(1, round(1000 * seconds / scale))
    length, unit = next((length, unit) for length, unit in _UNITS if milliseconds % length == 0)
    return f"{milliseconds // length}{unit}"


def _rules(scale: float) -> Iterator[Manifest]:
    yield rule(ROUTERS, f"count by (namespace, fleet) ({_R}connections)")
    yield rule(NEWEST_SAMPLE, f"max by (namespace, fleet) (timestamp({_R}connections))")
    zeros = (f'label_replace(0 * {ROUTERS}, "class", "{name}", "", "")' for name in RequestClass)
    yield rule(_ZERO, " or ".join(zeros))
    yield rule(DEMAND, _demand(scale))
    for span, seconds in _SPANS.items():
        yield rule(f"{_ANSWERS}:{span}", _answers(seconds, scale))
        for kind in _KINDS:
            yield rule(f"heterofleet:{kind}_tokens:{span}", _by_class(f"{_R}{kind}_tokens_total", seconds, scale))
    for kind, offered in zip(_KINDS, (OFFERED_PROMPT, OFFERED_COMPLETION), strict=True):
        mean = f"heterofleet:{kind}_tokens_per_answer:mean"
        yield rule(mean, f"{_mean(kind, 'rate5m')} or {_mean(kind, 'rate1h')}")
        yield rule(offered, f"{DEMAND} * {mean} or {DEMAND} == 0")
    for offered, hourly in ((OFFERED_PROMPT, HOURLY_PROMPT), (OFFERED_COMPLETION, HOURLY_COMPLETION)):
        yield rule(hourly, f"avg_over_time({offered}[{window(HOUR, scale)}]) {_WHILE_SCRAPED}")
    yield from _of_large(scale)
    yield rule(CACHE_HITS, _hit_ratio(scale))
    # Each replica of the operator tells the money, and it is spent once.
    told = "max by (namespace, fleet, tier) (heterofleet_operator_cost_usd_per_hour)"
    yield rule(COST, f"sum by (namespace, fleet) ({told})")
    # One value a minute: their sum is in USD minutes an hour.
    yield rule(SPENT, f"sum_over_time({COST}[{window(_DAY, scale)}]) / {HOUR / STEP_SECONDS:g}")
    for name, labels in ((LATENCY_FIRST, "class"), (LATENCY_NEXT, "tier")):
        buckets = name.removeprefix("heterofleet:").removesuffix(":rate5m")
        yield rule(name, _rate(f"{_R}{buckets}", _LONG, scale, labels, "le"))
    for name, counter in (
        (ENGINE_PROMPT, "vllm:prompt_tokens_total"),
        (ENGINE_GENERATION, "vllm:generation_tokens_total"),
    ):
        yield rule(name, _rate(f'{counter}{{fleet!=""}}', _SHORT, scale, "tier"))


def rule(name: str, expression: str) -> Manifest:
    """A recording rule."""
    return {"record": name, "expr": expression}


_WHILE_SCRAPED: Final = f"and on (namespace, fleet) {ROUTERS}"
"""A rate outlives its last sample by its window; a load that nobody tells of any more is not known at once."""


def _demand(scale: float) -> str:
    offered = or_zero(_by_class(f"{_R}offered_total", _SHORT, scale))
    refused = or_zero(_by_class(f"{_R}requests_total{{{_OF_CLASS},{_WITHOUT_WORK}}}", _SHORT, scale))
    # An old answer that is given because no engine works is a cache hit, too, but of a request that asked for one.
    hits = or_zero(_by_class(f'{_R}cache_hits_total{{cache!="stale"}}', _SHORT, scale))
    return f"clamp_min({offered} - {refused} - {hits}, 0) {_WHILE_SCRAPED}"


def _answers(seconds: float, scale: float) -> str:
    counters = (
        f"{_R}requests_total{{{_OF_CLASS},{_WITH_TOKENS}}}",
        f"{_R}escalations_total{{{_JUDGED}}}",
        f"{_R}adjustments_total{{{_JUDGED}}}",
        f"{_R}retries_total{{{_JUDGED}}}",
    )
    return " + ".join(or_zero(_by_class(counter, seconds, scale)) for counter in counters)


def _mean(kind: str, span: str) -> str:
    """Tokens an answer. Without prompt tokens nobody counted (lean streams): then the mean is not known either."""
    answers = f"({_ANSWERS}:{span} > 0)"
    counted = f"heterofleet:prompt_tokens:{span} > 0"
    return f"(heterofleet:{kind}_tokens:{span} / {answers} and {counted})"


def _of_large(scale: float) -> Iterator[Manifest]:
    """What the large tier did for the other class: by escalation, and by everything else (spill-over, bias, names)."""
    large = f'tier="{Tier.LARGE}"'
    yield rule(_ESCALATIONS, or_zero(_by_class(f"{_R}escalations_total", HOUR, scale)))
    answers = _by_class(f"{_R}requests_total{{{large},{_OF_CLASS},{_WITH_TOKENS}}}", HOUR, scale)
    names = zip(_KINDS, (ESCALATED_PROMPT, ESCALATED_COMPLETION), (SPILLED_PROMPT, SPILLED_COMPLETION), strict=True)
    for kind, escalated, spilled in names:
        tokens = _by_class(f"{_R}{kind}_tokens_total{{{large}}}", HOUR, scale)
        yield rule(escalated, f"{_ESCALATIONS} * ({tokens} / ({answers} > 0)) or {_ESCALATIONS} == 0")
        act = f'class="{RequestClass.ACT}"'
        taken = _by_class(f"{_R}{kind}_tokens_total{{{large},{act}}}", HOUR, scale)
        yield rule(spilled, f"clamp_min({taken} - {escalated}{{{act}}}, 0) or {_ZERO}{{{act}}}")


def _hit_ratio(scale: float) -> str:
    hits = or_zero(_by_class(f'{_R}cache_hits_total{{cache!="stale"}}', HOUR, scale))
    return f"{hits} / ({_by_class(f'{_R}offered_total', HOUR, scale)} > 0)"


def _by_class(selector: str, seconds: float, scale: float) -> str:
    return _rate(selector, seconds, scale, "class")


def _rate(selector: str, seconds: float, scale: float, *labels: str) -> str:
    by = ", ".join(("namespace", "fleet", *labels))
    return f"sum by ({by}) (rate({selector}[{window(seconds, scale)}]))"


def or_zero(expression: str) -> str:
    """Rates by class, 0 where routers are scraped and no request has touched the counter."""
    return f"({expression} or {_ZERO})"
