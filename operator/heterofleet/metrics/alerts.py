"""Decides what somebody is told, or woken for: one set of alerts for all fleets, each labelled by its fleet.

An alert is `critical` where clients are harmed now, `warning` where they will be or money is lost, `info` where it can
wait for a working day. Each has a page in docs/runbooks.md under its own name. `core` are those that a fleet brings
with it as well (`desired.alerts`): with a Prometheus that lets rules of a namespace see that namespace alone, they are
all there is; where both are loaded they have the same labels, so that Alertmanager takes them for one.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from heterofleet.api.conditions import ConditionType, InstanceState, Reason
from heterofleet.api.labels import Manifest, Tier
from heterofleet.api.planned import Bound
from heterofleet.metrics import burn, ratios, rules

GROUP: Final = "heterofleet.alerts"
RUNBOOKS: Final = "https://github.com/heterofleet/heterofleet/blob/main/docs/runbooks.md#"
"""What stands before an alert's name, in small letters, in its annotation; the chart replaces it by its own value."""
EVERY_FLEET: Final = 'fleet!=""'

STORM_SHARE: Final = 0.3
"""Escalations a request: the small tier's work is then done twice so often that little of the saving is left."""
_O: Final = "heterofleet_operator_"
_TIER: Final = "namespace, fleet, tier"
_OF_TIER: Final = "The {{ $labels.tier }} tier of fleet {{ $labels.namespace }}/{{ $labels.fleet }}"
_OF_FLEET: Final = "Fleet {{ $labels.namespace }}/{{ $labels.fleet }}"
_HELD: Final = (Bound.GPU_BUDGET, Bound.MONEY_BUDGET, Bound.NO_PLACE, Bound.MAXIMUM, Bound.METRICS_LOST, Bound.OVERRIDE)
"""Bounds that keep a count below its need until a person does something; the others pass by themselves."""


class Alert(NamedTuple):
    """One alert; `hold` is how long its expression must be true."""

    name: str
    expression: str
    hold: str
    severity: str
    summary: str
    description: str

    def manifest(self) -> Manifest:
        """The alert as a fleet brings it: the operator knows no place of runbooks."""
        return {
            "alert": self.name,
            "expr": self.expression,
            "for": self.hold,
            "labels": {"severity": self.severity},
            "annotations": {"summary": self.summary, "description": self.description},
        }

    def shipped(self) -> Manifest:
        """The same with the address of its page."""
        alone = self.manifest()
        return {**alone, "annotations": {**alone["annotations"], "runbook_url": f"{RUNBOOKS}{self.name.lower()}"}}


def group() -> Manifest:
    """The group of all alerts."""
    return {"name": GROUP, "rules": [alert.shipped() for alert in every()]}


def every() -> tuple[Alert, ...]:
    """All alerts, in the order of the runbooks."""
    return (*_burning(), *_money(), *_service(), *core(EVERY_FLEET), *_plan(), *_upkeep())


def core(of: str) -> tuple[Alert, ...]:
    """What must be heard of each fleet; `of` selects the series of one fleet, or of all."""
    return (_restarting(of), _not_ready(of), _unwatched(of))


def _burning() -> Iterator[Alert]:
    for name, ratio, by_tier, who, what in (
        ("HeterofleetFirstTokensLate", ratios.FIRST_LATE, True, _OF_TIER, "begins its answers later"),
        ("HeterofleetTokensLate", ratios.NEXT_LATE, True, _OF_TIER, "writes its answers more slowly"),
        ("HeterofleetRequestsFailing", ratios.FAILED, False, _OF_FLEET, "fails more requests"),
    ):
        for severity, hold in (("critical", "2m"), ("warning", "15m")):
            yield Alert(
                name,
                burn.expression(ratio, severity, by_tier=by_tier),
                hold,
                severity,
                f"{who} {what} than its objective allows.",
                "{{ $value | humanizePercentage }} of them; the conditions ScalingLimited and Degraded say why.",
            )


def _money() -> Iterator[Alert]:
    budget = ratios.told("budget_usd_per_day")
    yield Alert(
        "HeterofleetMoneyBurn",
        f"avg_over_time({rules.COST}[30m]) * 24 > {budget}",
        "15m",
        "warning",
        f"{_OF_FLEET} costs more than its budget, if it goes on like this.",
        "{{ $value | humanize }} USD a day at the present rate; budget.usdPerDay is lower.",
    )
    yield Alert(
        "HeterofleetBudgetSpent",
        f"{rules.SPENT} >= {budget}",
        "5m",
        "critical",
        f"{_OF_FLEET} has spent its budget of 24 hours.",
        "{{ $value | humanize }} USD; budget.whenHard says what is given up: the condition BudgetExceeded tells.",
    )


def _service() -> Iterator[Alert]:
    yield Alert(
        "HeterofleetEscalationStorm",
        f'{ratios.ESCALATION_RATE}5m{{class="act"}} > {STORM_SHARE:g}',
        "10m",
        "warning",
        f"{_OF_FLEET} sends {{{{ $value | humanizePercentage }}}} of its act requests on to the large tier.",
        "heterofleet_router_escalations_total tells the reasons: the small model, its template or its limits changed.",
    )
    lost = f"{ratios.ENDPOINTS} == 0 or max_over_time({ratios.ENDPOINTS}[1h]) > 0 unless {ratios.ENDPOINTS}"
    broken = f"min by ({_TIER}) (heterofleet_router_breaker_open) == 1"
    wanted = f"sum by ({_TIER}) ({ratios.told('instances', 'tier', 'state')}) > 0"
    yield Alert(
        "HeterofleetTierDead",
        f"(({lost}) or {broken}) and on ({_TIER}) ({wanted}) and on (namespace, fleet) {rules.ROUTERS} > 0",
        "2m",
        "critical",
        f"{_OF_TIER} answers nothing, while its routers are well.",
        "All of its engines are gone or fail every request; heterofleet_router_breaker_open tells them apart.",
    )


def _restarting(of: str) -> Alert:
    return Alert(
        "HeterofleetGroupRestarting",
        f'changes(process_start_time_seconds{{{of},tier="{Tier.LARGE}"}}[1h]) > 2',
        "0s",
        "warning",
        "Instance {{ $labels.instance }} of fleet {{ $labels.namespace }}/{{ $labels.fleet }}"
        " restarted {{ $value }} times within an hour.",
        "status.large.instances of the fleet holds the last exit code and the engine's last lines.",
    )


def _not_ready(of: str) -> Alert:
    by_tier = f"sum by ({_TIER})"
    every_, ready = (f"{_O}instances{{{of}{state}}}" for state in ("", f',state="{InstanceState.READY}"'))
    return Alert(
        "HeterofleetTierNotReady",
        f"{by_tier} ({every_}) > 0 unless {by_tier} ({ready}) > 0",
        "15m",
        "critical",
        "No instance of the {{ $labels.tier }} tier of fleet {{ $labels.namespace }}/{{ $labels.fleet }} is Ready.",
        "The fleet's condition Ready says in one sentence what it waits for.",
    )


def _unwatched(of: str) -> Alert:
    gauge, by_fleet = f"{_O}instances{{{of}}}", "max by (namespace, fleet)"
    return Alert(
        "HeterofleetUnwatched",
        f"{by_fleet} (present_over_time({gauge}[1d])) unless {by_fleet} ({gauge})",
        "10m",
        "warning",
        "No operator reports fleet {{ $labels.namespace }}/{{ $labels.fleet }} any more.",
        "The fleet goes on serving and healing its groups, but nothing scales, drains or replaces it.",
    )


def _plan() -> Iterator[Alert]:
    planned, needed = ratios.told("planned_instances", "tier"), ratios.told("needed_instances", "tier")
    desired = ratios.told("desired_instances", "tier")
    yield Alert(
        "HeterofleetPlanStuck",
        f"{desired} > {ratios.ready_instances()}",
        "45m",
        "warning",
        f"{_OF_TIER} has had fewer Ready instances than it should for 45 minutes.",
        "{{ $value }} should be; the tier's condition says what the others wait for.",
    )
    bound = f'max by ({_TIER}, reason) ({_O}plan_bound{{reason=~"{"|".join(_HELD)}"}})'
    yield Alert(
        "HeterofleetPlanHeld",
        f"{bound} * on ({_TIER}) group_left () ({needed} > {planned}) unless on (namespace, fleet) {_O}plan_advised",
        "30m",
        "warning",
        f"{_OF_TIER} needs {{{{ $value }}}} instances and is held below by {{{{ $labels.reason }}}}.",
        "status.plan of the fleet holds the sentence; ScalingLimited what to raise.",
    )
    yield Alert(
        "HeterofleetMetricsLost",
        _amiss(ConditionType.METRICS_AVAILABLE, Reason.METRICS_LOST, Reason.METRICS_MISSING),
        "10m",
        "warning",
        f"{_OF_FLEET} is planned without its load: {{{{ $labels.reason }}}}.",
        "Counts are held, and only queues raise them; the condition MetricsAvailable names the first step.",
    )


def _upkeep() -> Iterator[Alert]:
    yield Alert(
        "HeterofleetStalled",
        _amiss(ConditionType.STALLED),
        "15m",
        "warning",
        f"{_OF_FLEET} makes no progress: {{{{ $labels.reason }}}}.",
        "The condition Stalled says what the operator cannot do by itself.",
    )
    ended = ratios.told("last_drain_timestamp_seconds")
    yield Alert(
        "HeterofleetDrainAborted",
        f"{ratios.told('last_drain_aborted')} == 1 and on (namespace, fleet) time() - {ended} < 3600",
        "0s",
        "warning",
        f"{_OF_FLEET} took an instance down before it had answered all of its requests.",
        "status.lastDrain tells which; lifecycle.drainSeconds is shorter than its longest answers.",
    )
    yield Alert(
        "HeterofleetUpdateAvailable",
        _amiss(ConditionType.UPDATE_AVAILABLE),
        "1h",
        "info",
        f"{_OF_FLEET} runs as an older release made it; an update waits for you.",
        "The condition UpdateAvailable tells what would change; nothing restarts before you say so.",
    )


def _amiss(condition: ConditionType, *reasons: Reason) -> str:
    chosen = f'condition="{condition}"' + (f',reason=~"{"|".join(reasons)}"' if reasons else "")
    return f"max by (namespace, fleet, reason) ({_O}condition_amiss{{{chosen}}})"
