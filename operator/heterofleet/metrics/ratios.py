"""Decides how the ratios of contracts.md ("Metrics") come out of counters: what a fleet costs, saves, fails and delays.

    cost per token  = fleet money / completion tokens, of 1 h                                      USD, real money
    saving          = 1 - cost at posted prices / cost of the same tokens by the large tier, 1 h   share, posted prices
    utilisation     = (completion + alpha x prompt tokens) / (Ready instances x capacity)          share, by tier, 5 min
    escalation rate = escalations / requests that came                                             share, by class
    retry rate      = further attempts at the same tier / requests that came                       share, by class
    success rate    = whole answers / requests that ended and were ours to answer                  share, by class
    cross-tier time = mean of act answers by the large tier - mean of those by the small one       seconds, 1 h
    late            = observations beyond the fleet's own objective (`objective`)                  a second, by tier

No data is never zero: a ratio whose denominator is 0 or unknown has no value. A counter that no request has touched is
0 where routers are scraped, so that a fleet that never escalates has the rate 0. The operator's gauges stand once for
each of its replicas, so that their maximum is taken and never their sum.

Long windows are sums over what is recorded each minute: a rate of buckets over three days reads every sample of them.
"""

from collections.abc import Iterator
from typing import Final

from heterofleet.api.conditions import InstanceState
from heterofleet.api.labels import Manifest, Tier
from heterofleet.api.routing import RequestClass
from heterofleet.metrics import rules
from heterofleet.metrics.rules import window

GROUP: Final = "heterofleet.ratios"

COST_PER_TOKEN: Final = "heterofleet:cost_usd_per_token:ratio1h"  # noqa: S105  a series, not a secret
SAVINGS: Final = "heterofleet:cost_savings:ratio1h"
SERVED: Final = "heterofleet:served_tokens:rate5m"
UTILISATION: Final = "heterofleet:utilisation:ratio5m"
ESCALATION_RATE: Final = "heterofleet:escalation_rate:ratio"
RETRY_RATE: Final = "heterofleet:retry_rate:ratio"
SUCCESS_RATE: Final = "heterofleet:task_success_rate:ratio"
CROSS_TIER: Final = "heterofleet:cross_tier_seconds:mean1h"
ENDPOINTS: Final = "heterofleet:endpoints_serving:sum"
ERROR_BUDGET: Final = "heterofleet:error_budget:share"
"""What the attainment of a tier leaves: 1 - attainment."""

FIRST_LATE: Final = "heterofleet:first_tokens_late:ratio"
NEXT_LATE: Final = "heterofleet:inter_token_late:ratio"
FAILED: Final = "heterofleet:requests_failed:ratio"
"""Shares that burn an error budget; one rule for each of BURN_WINDOWS, whose name is the suffix."""

BURN_WINDOWS: Final = {"5m": 300.0, "30m": 1800.0, "1h": 3600.0, "2h": 7200.0, "6h": 21_600.0, "1d": 86_400.0,
                       "3d": 259_200.0}  # fmt: skip
RATE_WINDOWS: Final = {"5m": 300.0, "1h": 3600.0}

_R: Final = "heterofleet_router_"
_O: Final = "heterofleet_operator_"
_FLEET: Final = ("namespace", "fleet")
_TIER: Final = (*_FLEET, "tier")
_CLASS: Final = (*_FLEET, "class")
_OURS: Final = 'outcome!~"client_error|unauthorised|cancelled|denied|budget"'
"""What a client spoils or leaves, a rule forbids or a tenant cannot pay was not the fleet's to answer."""
_WHOLE: Final = 'outcome=~"ok|cached"'
_BROKEN: Final = 'outcome=~"failed|cut_off|rejected"'


def group(scale: float = 1.0) -> Manifest:
    """The group of all ratios; it reads what `rules.group` has recorded."""
    found = [*_money(scale), *_work(scale), *_quality(scale), *_lateness(scale)]
    return {"name": GROUP, "interval": window(rules.STEP_SECONDS, scale), "rules": found}


def told(gauge: str, *labels: str) -> str:
    """A gauge of the operator, once, however many replicas of it tell it."""
    return f"max by ({', '.join((*_FLEET, *labels))}) ({_O}{gauge})"


def ready_instances() -> str:
    """Ready instances of each tier."""
    ready = told(f'instances{{state="{InstanceState.READY}"}}', "tier", "state")
    return f"sum by ({', '.join(_TIER)}) ({ready})"


def _money(scale: float) -> Iterator[Manifest]:
    hour = window(rules.HOUR, scale)
    tokens = _rate("completion_tokens_total", hour, _FLEET)
    yield rules.rule(COST_PER_TOKEN, f"avg_over_time({rules.COST}[{hour}]) / {rules.HOUR:g} / ({tokens} > 0)")
    paid, large = (_rate(f"{name}_total", hour, _FLEET) for name in ("cost_usd", "cost_all_large_usd"))
    yield rules.rule(SAVINGS, f"1 - {paid} / ({large} > 0)")


def _work(scale: float) -> Iterator[Manifest]:
    span = window(300.0, scale)
    prompt, completion = (_rate(f"{kind}_tokens_total", span, _TIER) for kind in ("prompt", "completion"))
    weight = told("prompt_weight")
    yield rules.rule(
        SERVED, f"{completion} + on (namespace, fleet, tier) {prompt} * on (namespace, fleet) group_left {weight}"
    )
    capacity = f"{ready_instances()} * {told('capacity_tokens_per_second', 'tier')}"
    yield rules.rule(UTILISATION, f"{SERVED} / ({capacity} > 0)")
    yield rules.rule(ENDPOINTS, f'sum by ({", ".join(_TIER)}) (max by ({", ".join((*_TIER, "state"))})'
                f' ({_R}endpoints{{state="serving"}}))')  # fmt: skip


def _quality(scale: float) -> Iterator[Manifest]:
    for name, seconds in RATE_WINDOWS.items():
        span = window(seconds, scale)
        came = f"({_rate('offered_total', span, _CLASS)} > 0)"
        for record, counter in ((ESCALATION_RATE, "escalations_total"), (RETRY_RATE, "retries_total")):
            yield rules.rule(f"{record}{name}", f"{rules.or_zero(_rate(counter, span, _CLASS))} / {came}")
        ours = f"({_rate(f'requests_total{{{_OURS}}}', span, _CLASS)} > 0)"
        whole = rules.or_zero(_rate(f"requests_total{{{_WHOLE}}}", span, _CLASS))
        yield rules.rule(f"{SUCCESS_RATE}{name}", f"{whole} / {ours}")
    hour = window(rules.HOUR, scale)
    yield rules.rule(CROSS_TIER, f"{_mean_seconds(Tier.LARGE, hour)} - {_mean_seconds(Tier.SMALL, hour)}")


def _mean_seconds(tier: Tier, span: str) -> str:
    of = f'{{class="{RequestClass.ACT}",tier="{tier}"}}'
    total, count = (_rate(f"request_seconds_{part}{of}", span, _CLASS) for part in ("sum", "count"))
    return f"{total} / ({count} > 0)"


def _lateness(scale: float) -> Iterator[Manifest]:
    yield rules.rule(ERROR_BUDGET, f"1 - {told('objective_attainment', 'tier')}")
    span = window(300.0, scale)
    for late, histogram, weight in (
        (FIRST_LATE, "time_to_first_token_seconds", "objective_first_token_weight"),
        (NEXT_LATE, "inter_token_seconds", "objective_inter_token_weight"),
    ):
        buckets = _rate(f"{histogram}_bucket", span, (*_TIER, "le"))
        in_time = f"sum by ({', '.join(_TIER)}) ({buckets} * {told(weight, 'tier', 'le')})"
        yield from _burnt(late, _rate(f"{histogram}_count", span, _TIER), in_time, scale)
    ended = _rate(f"requests_total{{{_OURS}}}", span, _FLEET)
    broken = f"({_rate(f'requests_total{{{_BROKEN}}}', span, _FLEET)} or 0 * {ended})"
    yield from _burnt(FAILED, ended, f"({ended} - {broken})", scale)


def _burnt(ratio: str, every: str, good: str, scale: float) -> Iterator[Manifest]:
    """Rates of all and of bad ones, and the share of bad ones over each window."""
    stem = ratio.removesuffix(":ratio")
    all_, bad = f"{stem}_of:rate5m", f"{stem}:rate5m"
    yield rules.rule(all_, every)
    yield rules.rule(bad, f"clamp_min({every} - {good}, 0)")
    for name, seconds in BURN_WINDOWS.items():
        span = window(seconds, scale)
        yield rules.rule(f"{ratio}{name}", f"sum_over_time({bad}[{span}]) / (sum_over_time({all_}[{span}]) > 0)")


def _rate(selector: str, span: str, by: tuple[str, ...]) -> str:
    return f"sum by ({', '.join(by)}) (rate({_R}{selector}[{span}]))"
