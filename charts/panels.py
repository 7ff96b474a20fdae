"""What the dashboard shows: panels as values, which `dashboard` gives to Grafana's own library.

Ratios and lateness are recorded (`heterofleet.metrics.ratios`); the rest is asked of the series of routers and
operator. Each replica of the operator tells the same of a fleet, so that its gauges are asked for their maximum.
"""

from enum import StrEnum
from typing import Final, NamedTuple

from heterofleet.metrics import ratios, rules

OF: Final = 'namespace=~"$namespace",fleet=~"$fleet"'
"""The fleets that are chosen at the head of the dashboard."""
_R: Final = "heterofleet_router_"
_SPAN: Final = "[$__rate_interval]"


class Unit(StrEnum):
    """Grafana's names of units."""

    PER_SECOND = "reqps"
    SECONDS = "s"
    SHARE = "percentunit"
    USD = "currencyUSD"
    COUNT = "short"


class Query(NamedTuple):
    """One expression, and how its series are called."""

    expression: str
    legend: str


class Panel(NamedTuple):
    """One picture; `stacked` where its series add up to something."""

    title: str
    description: str
    unit: Unit
    queries: tuple[Query, ...]
    stacked: bool = False
    least: int | None = 0
    """Lower end of the axis; None where values below zero mean something."""


class Row(NamedTuple):
    """Panels that answer one question."""

    title: str
    panels: tuple[Panel, ...]


def _rate(counter: str, by: str, more: str = "") -> str:
    return f"sum by ({by}) (rate({_R}{counter}{{{OF}{more}}}{_SPAN}))"


def _recorded(name: str, by: str, how: str = "sum") -> str:
    return f"{how} by ({by}) ({name}{{{OF}}})"


def _told(gauge: str, *labels: str) -> str:
    """A gauge of the operator, by labels, over the chosen fleets."""
    by = ", ".join(dict.fromkeys(("namespace", "fleet", *labels)))
    kept = f"sum by ({', '.join(labels)})" if labels else "sum"
    return f"{kept} (max by ({by}) (heterofleet_operator_{gauge}{{{OF}}}))"


def _quantile(share: float, histogram: str, by: str) -> str:
    return f"histogram_quantile({share}, {_rate(f'{histogram}_bucket', f'{by}, le')})"


def _promised(gauge: str) -> str:
    return f"min by (tier) (heterofleet_operator_{gauge}{{{OF}}})"


def _each(*queries: tuple[str, str]) -> tuple[Query, ...]:
    return tuple(Query(*query) for query in queries)


_TRAFFIC: Final = Row(
    "Traffic",
    (
        Panel(
            "Requests by class and tier",
            "Requests that ended, by the tier that answered; tier none: a cache, or nobody.",
            Unit.PER_SECOND,
            _each((_rate("requests_total", "class, tier"), "{{class}} by {{tier}}")),
            stacked=True,
        ),
        Panel(
            "Requests by how they ended",
            "failed, cut_off and rejected are what clients saw fail.",
            Unit.PER_SECOND,
            _each((_rate("requests_total", "outcome"), "{{outcome}}")),
            stacked=True,
        ),
        Panel(
            "Waiting for a place",
            "Requests in the routers' queues, and how long the oldest has waited.",
            Unit.COUNT,
            _each(
                (f"sum by (tier) ({_R}queue_requests{{{OF}}})", "{{tier}} requests"),
                (f"max by (tier) ({_R}queue_oldest_age_seconds{{{OF}}})", "{{tier}} oldest, seconds"),
            ),
        ),
        Panel(
            "Escalations, retries, reviews",
            "Share of requests that went to the next tier, or to the same tier again; reviews a second.",
            Unit.SHARE,
            _each(
                (_recorded(f"{ratios.ESCALATION_RATE}5m", "class", "max"), "escalated, {{class}}"),
                (_recorded(f"{ratios.RETRY_RATE}5m", "class", "max"), "retried, {{class}}"),
                (_rate("reviews_total", "outcome"), "reviews a second, {{outcome}}"),
            ),
        ),
        Panel(
            "Answered from caches",
            "Share of the last hour's requests that cost no engine anything.",
            Unit.SHARE,
            _each((_recorded(rules.CACHE_HITS, "class", "max"), "{{class}}")),
        ),
        Panel(
            "Success rate",
            "Whole answers among the requests that were the fleet's to answer, of 5 minutes.",
            Unit.SHARE,
            _each((_recorded(f"{ratios.SUCCESS_RATE}5m", "class", "min"), "{{class}}")),
        ),
    ),
)
_OBJECTIVE: Final = Row(
    "Objective",
    (
        Panel(
            "Time to the first token",
            "Half, and 99 of 100 streams, began within; dashed words: what each tier promises.",
            Unit.SECONDS,
            _each(
                (_quantile(0.5, "time_to_first_token_seconds", "class"), "{{class}} p50"),
                (_quantile(0.99, "time_to_first_token_seconds", "class"), "{{class}} p99"),
                (_promised("objective_first_token_seconds"), "promised by {{tier}}"),
            ),
        ),
        Panel(
            "Time between two tokens",
            "99 of 100 pieces came within, by the tier that wrote them; a stream's class is not counted here.",
            Unit.SECONDS,
            _each(
                (_quantile(0.5, "inter_token_seconds", "tier"), "{{tier}} p50"),
                (_quantile(0.99, "inter_token_seconds", "tier"), "{{tier}} p99"),
                (_promised("objective_inter_token_seconds"), "promised by {{tier}}"),
            ),
        ),
        Panel(
            "Burn of the error budget",
            "1: the promise is just kept, if it goes on; 14.4 wakes somebody.",
            Unit.COUNT,
            _each(
                (
                    f"max by (tier) ({ratios.FIRST_LATE}1h{{{OF}}} / {ratios.ERROR_BUDGET}{{{OF}}})",
                    "first tokens, {{tier}}",
                ),
                (
                    f"max by (tier) ({ratios.NEXT_LATE}1h{{{OF}}} / {ratios.ERROR_BUDGET}{{{OF}}})",
                    "next tokens, {{tier}}",
                ),
            ),
        ),
    ),
)
_CAPACITY: Final = Row(
    "Capacity",
    (
        Panel(
            "Forecast, demand, capacity",
            "Tokens a second: what is planned for, what is offered as answers, and what Ready instances carry in time.",
            Unit.COUNT,
            _each(
                (_told("forecast_tokens_per_second", "class"), "forecast, {{class}}"),
                (_recorded(rules.OFFERED_COMPLETION, "class"), "offered, {{class}}"),
                (_recorded(ratios.SERVED, "tier"), "served by {{tier}}"),
                (
                    f"{_told('capacity_tokens_per_second', 'tier')}"
                    f" * sum by (tier) (max by (namespace, fleet, tier)"
                    f' (heterofleet_operator_instances{{{OF},state="Ready"}}))',
                    "capacity, {{tier}}",
                ),
            ),
        ),
        Panel(
            "Utilisation",
            "Work served by what the Ready instances carry within the objective; no use of GPUs is meant.",
            Unit.SHARE,
            _each((_recorded(ratios.UTILISATION, "tier", "max"), "{{tier}}")),
        ),
        Panel(
            "Instances by tier and state",
            "What runs, starts, drains and fails; planned counts are bounded by budgets, needed ones are not.",
            Unit.COUNT,
            _each(
                (f"{_told('instances', 'tier', 'state')} > 0", "{{tier}} {{state}}"),
                (_told("planned_instances", "tier"), "{{tier}} planned"),
                (_told("needed_instances", "tier"), "{{tier}} needed"),
            ),
        ),
        Panel(
            "GPUs held",
            "Those of all pods, starting and stopping ones included, and the budget.",
            Unit.COUNT,
            _each((_told("gpus_held", "tier"), "{{tier}}"), (_told("budget_gpus"), "budget")),
        ),
        Panel(
            "Engines out of use",
            "Breakers that are open: the router sends nothing to these engines.",
            Unit.COUNT,
            _each((f"max by (tier, endpoint) ({_R}breaker_open{{{OF}}})", "{{tier}} {{endpoint}}")),
        ),
        Panel(
            "Conditions that are not as they should be",
            "Nothing is drawn where all is well.",
            Unit.COUNT,
            _each((_told("condition_amiss", "condition", "reason"), "{{condition}}: {{reason}}")),
        ),
    ),
)
_MONEY: Final = Row(
    "Money",
    (
        Panel(
            "USD an hour",
            "GPUs held times their price.",
            Unit.USD,
            _each((_told("cost_usd_per_hour", "tier"), "{{tier}}")),
            stacked=True,
        ),
        Panel(
            "Spent in 24 hours",
            "Against budget.usdPerDay, where a fleet has one.",
            Unit.USD,
            _each(
                (_recorded(rules.SPENT, "fleet"), "{{fleet}}"),
                (_told("budget_usd_per_day", "fleet"), "budget of {{fleet}}"),
            ),
        ),
        Panel(
            "Saving",
            "At posted prices, against the same tokens by the large tier alone.",
            Unit.SHARE,
            _each((_recorded(ratios.SAVINGS, "fleet", "max"), "{{fleet}}")),
            least=None,
        ),
        Panel(
            "USD for a million tokens of answers",
            "Real money of the last hour, idle instances included.",
            Unit.USD,
            _each((f"1e6 * {_recorded(ratios.COST_PER_TOKEN, 'fleet', 'max')}", "{{fleet}}")),
        ),
    ),
)
ROWS: Final = (_TRAFFIC, _OBJECTIVE, _CAPACITY, _MONEY)
