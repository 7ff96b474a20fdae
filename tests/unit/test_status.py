"""What the status says of facts: each condition with its reason, and nothing changed where no fact changed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from heterofleet import status
from heterofleet.api import advice
from heterofleet.api.conditions import ConditionType, FleetStatus, InstanceState, InstanceStatus, LastExit, Reason
from heterofleet.api.labels import Tier
from heterofleet.planning.counts import Limit, Target
from heterofleet.planning.instances import Hold
from heterofleet.status import Facts, Finding, RouterFacts, TierFacts
from unit.desired import fleets

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
WELL = TierFacts(target=Target(1, 1), ready=1, serving=1, gpus=16, revision="r1")
FACTS = Facts(
    tiers={Tier.LARGE: WELL, Tier.SMALL: replace(WELL, target=Target(2, 3), ready=3, serving=3, gpus=3)},
    router=RouterFacts(desired=2, ready=2, digest="d" * 64),
    endpoint="http://chat-router.ai.svc:8080/v1",
)


def told(facts: Facts, *, now: datetime = NOW, **spec: Any) -> dict[str, str]:
    """Each condition as `True/Reason`; the page of conditions must know that it may have this reason."""
    computed = status.compute(fleets.fleet(**spec), facts, now)
    unknown = [(c.type, c.reason) for c in computed.conditions if c.type not in advice.ADVICE[c.reason].conditions]
    assert unknown == []
    return {c.type: f"{c.status}/{c.reason}" for c in computed.conditions}


def large(**facts: Any) -> Facts:
    return replace(FACTS, tiers={**FACTS.tiers, Tier.LARGE: replace(WELL, **facts)})


def sentence(facts: Facts, type_: ConditionType) -> str:
    found = status.compute(fleets.fleet(), facts, NOW).condition(type_)
    assert found is not None
    return found.message


def test_a_fleet_that_is_well_says_so_in_every_condition():
    assert told(FACTS) == {
        "Accepted": "True/Valid",
        "Ready": "True/AllReady",
        "LargeTierReady": "True/AllReady",
        "SmallTierReady": "True/AllReady",
        "RouterReady": "True/AllReady",
        "RouterConfigured": "True/Configured",
        "MetricsAvailable": "False/MetricsNotConfigured",
        "PairMatched": "True/FamilyUnknown",
        "Degraded": "False/Healthy",
        "ScalingLimited": "False/WithinBounds",
        "BudgetExceeded": "False/WithinBudget",
        "UpdateAvailable": "False/UpToDate",
        "Reconciling": "False/Settled",
        "Stalled": "False/Settled",
    }
    assert sentence(FACTS, ConditionType.READY) == "1 large and 3 small instances serve behind 2 routers"


def instance(state: InstanceState, **facts: Any) -> InstanceStatus:
    return InstanceStatus(index=0, state=state, **facts)


@pytest.mark.parametrize(
    ("facts", "reason", "part"),
    [
        ({}, Reason.STARTING, "0 of 1 large instances are ready: the others are starting"),
        ({"progress": "chat-large-0-0 downloads, 5 %"}, Reason.STARTING, "downloads, 5 %"),
        ({"holds": frozenset({Hold.GPUS}), "waiting": "add nodes"}, Reason.WAITING_FOR_GPUS, ": add nodes"),
        ({"instances": (instance(InstanceState.WAITING),)}, Reason.WAITING_FOR_GPUS, "wait for nodes"),
        ({"problems": (Finding(Reason.SECRET_MISSING, "no hf"),)}, Reason.SECRET_MISSING, ": no hf"),
        (
            {
                "instances": (
                    instance(InstanceState.RESTARTING, restarts=2, last_exit=LastExit(exit_code=1, message="no\nFile")),
                )
            },
            Reason.GROUP_RESTARTING,
            "instance 0 restarts as one (2 so far, exit code 1: no)",
        ),
        ({"restarting": "pod a restarts"}, Reason.GROUP_RESTARTING, ": pod a restarts"),
        ({"rolling": True}, Reason.ROLLING, "moves to revision r1"),
    ],
)
def test_a_tier_that_is_not_ready_says_why_and_so_does_the_fleet(facts: dict[str, Any], reason: Reason, part: str):
    changed = large(ready=0, serving=0, **facts)
    conditions = told(changed)
    assert conditions["LargeTierReady"] == conditions["Ready"] == f"False/{reason}"
    assert part in sentence(changed, ConditionType.READY)
    assert conditions["Reconciling"] == "True/Progressing"


def test_a_tier_is_ready_with_its_base_count_while_warm_instances_are_missing():
    facts = large(target=Target(1, 2), ready=1, holds=frozenset({Hold.GPUS}))
    assert told(facts)["LargeTierReady"] == "True/AllReady"


def test_a_tier_and_routers_that_are_scaled_to_zero_are_as_they_are_wanted():
    facts = replace(large(target=Target(0, 0), ready=0, serving=0), router=RouterFacts(desired=0))
    conditions = told(facts)
    assert conditions["LargeTierReady"] == conditions["RouterReady"] == "True/ScaledToZero"
    assert conditions["RouterConfigured"] == "True/ScaledToZero"
    assert conditions["Ready"] == "True/AllReady"


def test_without_a_router_no_fleet_is_ready():
    facts = replace(FACTS, router=RouterFacts(desired=2, ready=0))
    assert (told(facts)["Ready"], told(facts)["RouterReady"]) == ("False/RouterNotReady",) * 2


def test_routers_that_are_behind_leave_the_fleet_ready_and_say_so():
    facts = replace(FACTS, router=RouterFacts(2, 2, Finding(Reason.CONFIG_PENDING, "not yet"), "d"))
    assert (told(facts)["RouterConfigured"], told(facts)["Ready"]) == ("False/ConfigPending", "True/AllReady")


@pytest.mark.parametrize(
    ("hold", "reason"),
    [
        (Hold.OUTAGE, Reason.OUTAGE_NOT_ALLOWED),
        (Hold.STUCK, Reason.ROLL_STUCK),
        (Hold.EVACUATION, Reason.EVACUATION_WAITS),
    ],
)
def test_what_waits_for_a_person_is_stalled(hold: Hold, reason: Reason):
    assert told(large(holds=frozenset({hold}), rolling=True))["Stalled"] == f"True/{reason}"


def test_a_refused_fleet_is_stalled_with_the_sentence_and_under_way_to_nowhere():
    refused = Finding(Reason.DOES_NOT_FIT, "use tensor 8")
    conditions = told(replace(large(ready=0, serving=0), refused=refused))
    assert (conditions["Accepted"], conditions["Ready"], conditions["Stalled"], conditions["Reconciling"]) == (
        "False/DoesNotFit",
        "False/NotAccepted",
        "True/DoesNotFit",
        "False/NotAccepted",
    )
    assert sentence(replace(FACTS, refused=refused), ConditionType.READY) == "use tensor 8"


def test_a_suspended_fleet_that_serves_is_ready_and_says_that_nothing_is_done():
    conditions = told(replace(FACTS, suspended=True))
    assert (conditions["Ready"], conditions["Reconciling"]) == ("True/Suspended", "False/Suspended")
    down = replace(large(ready=0, serving=0), suspended=True)
    assert told(down)["LargeTierReady"] == "False/Suspended"


def test_the_first_problem_is_quoted_and_the_others_counted():
    problems = [
        Finding(Reason.APPLY_FAILED, "one"),
        Finding(Reason.NODE_LOST, "two"),
        Finding(Reason.NODE_LOST, "three"),
    ]
    facts = replace(FACTS, problems=problems)
    assert told(facts)["Degraded"] == "True/ApplyFailed"
    assert sentence(facts, ConditionType.DEGRADED) == "one (and 2 more)"


def test_every_bound_that_holds_a_count_is_told():
    limits = (Limit(Reason.ABOVE_MAX, "raise max"), Limit(Reason.GPU_BUDGET, "raise the budget"))
    facts = large(target=Target(1, 1, limits))
    assert told(facts)["ScalingLimited"] == "True/AboveMax"
    assert sentence(facts, ConditionType.SCALING_LIMITED) == "raise max; raise the budget"


def test_what_a_roll_would_change_is_named():
    facts = replace(FACTS, updates=("large.spec.image",))
    assert told(facts)["UpdateAvailable"] == "True/TemplateDiffers"
    assert "large.spec.image" in sentence(facts, ConditionType.UPDATE_AVAILABLE)


def test_a_pair_of_other_families_warns():
    assert told(replace(FACTS, pair=Finding(Reason.FAMILIES_DIFFER, "x")))["PairMatched"] == "False/FamiliesDiffer"


def test_a_drain_is_something_under_way():
    assert told(large(draining=1))["Reconciling"] == "True/Progressing"


def test_an_unchanged_fleet_has_an_unchanged_status_and_a_condition_keeps_the_time_of_its_change():
    fleet = fleets.fleet()
    first = status.compute(fleet, FACTS, NOW)
    later = NOW + timedelta(hours=1)
    again = status.compute(fleet.model_copy(update={"status": first}), FACTS, later)
    assert again == first
    changed = status.compute(fleet.model_copy(update={"status": first}), large(ready=0), later)
    times = {c.type: c.last_transition_time for c in changed.conditions}
    assert times[ConditionType.READY] == later
    assert times[ConditionType.SMALL_TIER_READY] == NOW


def test_counts_money_and_ratio_are_told_as_they_are():
    price = {"price": {"usdPerGpuHour": 2.5}}
    computed = status.compute(fleets.fleet(large=price, small=price), FACTS, NOW)
    assert (computed.cost.usd_per_hour, computed.ratio, computed.endpoint) == ("47.50", "3", FACTS.endpoint)
    assert (computed.large.summary, computed.small.summary, computed.small.desired) == ("1/1", "3/3", 3)
    assert status.compute(fleets.fleet(large=price), FACTS, NOW).cost.usd_per_hour == ""
    tokens = {"price": {"usdPerMillionTokens": {"prompt": 1, "completion": 2}}}
    assert status.compute(fleets.fleet(large=price, small=tokens), FACTS, NOW).cost.usd_per_hour == ""
    assert status.compute(fleets.fleet(), large(ready=0), NOW).ratio == ""


def test_a_resource_that_cannot_be_read_keeps_what_was_known():
    before = status.compute(fleets.fleet(), FACTS, NOW)
    after = status.refusal(7, before, Finding(Reason.INVALID_SPEC, "spec.future: unknown"), NOW)
    assert (after.large, after.small, after.endpoint) == (before.large, before.small, before.endpoint)
    found = {str(c.type): f"{c.status}/{c.reason}" for c in after.conditions}
    assert (found["Accepted"], found["Ready"], found["LargeTierReady"]) == (
        "False/InvalidSpec",
        "False/NotAccepted",
        "True/AllReady",
    )
    assert status.refusal(7, FleetStatus(), Finding(Reason.INVALID_SPEC, "x"), NOW).observed_generation == 7


def test_a_message_is_never_longer_than_a_person_reads():
    facts = replace(FACTS, refused=Finding(Reason.INVALID_SPEC, "x" * 5000))
    assert len(sentence(facts, ConditionType.READY)) == status.LONGEST_MESSAGE
