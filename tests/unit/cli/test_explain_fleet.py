"""`heterofleet explain FLEET`: what was seen, what decided, what it costs, what is held and until when, and what if."""

import textwrap
from typing import Any

import pytest

from heterofleet.api.labels import Manifest, Tier
from heterofleet.api.planned import Bound
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cli import explain, explainbounds, terminal
from heterofleet.cli.errors import CliError
from unit.cli import planned, stored


def told(fleet: Manifest, last: int = 5) -> str:
    return terminal.text(explain.picture(explain.explanation(fleet, last, stored.NOW), stored.NOW))


def values(fleet: Manifest, last: int = 5) -> Any:
    return explain.as_values(explain.explanation(fleet, last, stored.NOW))


def test_plan_and_decisions_are_sentences_with_their_figures() -> None:
    assert told(planned.fleet(planned.RAISED, planned.LOWERED)) == textwrap.dedent(
        """\
        chat in prod  mode Enforce
        2 large and 12 small instances are planned for 167.20 USD an hour, 62% less than large ones alone.

        large      2 instances planned, 3 needed. GpuBudget: The fleet may hold no more GPUs: scaling.gpuBudget 80 is \
below the 108 GPUs wanted: 2 of 3. With a larger scaling.gpuBudget it would be up to 3 instances, 70.40 USD an hour \
(1,690 a day) more.
        small      12 instances planned, 12 needed. Forecast: The forecast asks for so many, and no bound \
stands in the way.

        4m ago     The small tier was raised from 9 to 12 instances, which costs 6.60 USD an hour (158 a day) more.
        seen       At most 13,000 work tokens/s of class act were forecast; 5,000 work tokens waited, which asks for \
up to 167 tokens/s more for 30 s; 9 instances were ready, each carries 1,200 tokens/s within the objective, \
together 10,800.
        bound      Forecast: The forecast asks for so many, and no bound stands in the way.

        4m ago     The large tier was lowered from 3 to 2 instances, which saves 70.40 USD an hour (1,690 a day).
        seen       At most 6,600 work tokens/s of class plan were forecast; 3 instances were ready, each carries 2,400 \
tokens/s within the objective, together 7,200.
        bound      GpuBudget: The fleet may hold no more GPUs: scaling.gpuBudget 80 is below the 108 GPUs \
wanted: 2 of 3.
        if         With a larger scaling.gpuBudget it would have been up to about 3 instances, 70.40 USD an hour \
(1,690 a day) more.
        """
    )


def test_what_is_only_advised_is_told_in_the_conditional() -> None:
    advised = planned.RAISED | {"enforced": False}
    assert values(planned.fleet(advised))["decisions"][0]["done"] == (
        "The small tier would have been raised from 9 to 12 instances, which would cost 6.60 USD an hour (158 a day)"
        " more."
    )
    lowered = planned.LOWERED | {"enforced": False}
    assert "which would save 70.40" in values(planned.fleet(lowered))["decisions"][0]["done"]
    fleet = planned.fleet()
    fleet["spec"]["mode"] = "Advisory"
    lines = told(fleet).splitlines()
    assert lines[1].startswith("2 large and 12 small instances would be planned")
    assert (
        "held       Its mode is Advisory: what follows is only said, and no count changes until spec.mode is Enforce."
        in (lines)
    )


def test_no_more_decisions_are_told_than_were_asked_for() -> None:
    fleet = planned.fleet(planned.RAISED, planned.LOWERED)
    assert [made["tier"] for made in values(fleet, last=1)["decisions"]] == ["small"]
    assert len(values(fleet, last=7)["decisions"]) == 2


@pytest.mark.parametrize("bound", Bound)
def test_every_bound_has_words_of_its_own_and_names_fields_that_there_are(bound: Bound) -> None:
    spec = HeterogeneousDeployment.parse({k: v for k, v in planned.fleet().items() if k != "status"}).spec
    about = explainbounds.ABOUT[bound]
    assert [other for other in Bound if explainbounds.ABOUT[other].says == about.says] == [bound]
    fields = spec.model_dump(mode="json", by_alias=True)
    for key in about.field.replace("TIER", "small").split(".") if about.field else ():
        assert key in fields
        fields = fields[key]


def test_a_bound_is_told_with_the_value_of_its_field_where_the_planner_has_not() -> None:
    spec = HeterogeneousDeployment.parse({k: v for k, v in planned.fleet().items() if k != "status"}).spec
    said = [
        explainbounds.because(bound, Tier.LARGE, spec) for bound in (Bound.MINIMUM, Bound.MAX_STEP, Bound.OBJECTIVE)
    ]
    assert said == [
        "the load asks for fewer than may be (large.instances.min: 1)",
        "one decision may move it only so far",
        "not even an idle instance meets the objective, so this is the best effort: loosen it, or cut the model over"
        " more GPUs (large.objective: ttftSeconds 4, interTokenSeconds 0.1, attainment 0.99)",
    ]


@pytest.mark.parametrize(
    ("bound", "instances", "need", "expected"),
    [
        (
            "Minimum",
            8,
            3,
            "With a lower instances.min it would be down to 3 instances, 11.00 USD an hour (264 a day) less.",
        ),
        (
            "Maximum",
            8,
            9,
            "With a higher instances.max it would be up to 9 instances, 2.20 USD an hour (53 a day) more.",
        ),
        (
            "Stabilization",
            8,
            1,
            "Without that hold it would be down to 2 instances, 13.20 USD an hour (317 a day) less.",
        ),
        ("Ratio", 8, 8, "With a wider scaling.ratio it would be the same."),
        ("External", 8, 7, "By the plan alone it would be down to 7 instances, 2.20 USD an hour (53 a day) less."),
        ("MetricsLost", 8, 8, ""),
        ("Queue", 8, 8, ""),
    ],
)
def test_what_lifting_the_bound_would_change_stays_within_the_tiers_other_bounds(
    bound: str, instances: int, need: int, expected: str
) -> None:
    fleet = planned.fleet()
    fleet["status"]["plan"]["small"] = {"instances": instances, "need": need, "bound": bound, "message": "load"}
    assert values(fleet)["tiers"][1]["ifLifted"] == expected


def test_what_is_held_is_told_with_its_end() -> None:
    override = {"instances": 12, "by": "kubectl-scale", "until": stored.ago(minutes=-43)}
    lost = stored.condition("MetricsAvailable", False, "MetricsLost", "Prometheus answered 503")
    fleet = planned.fleet(
        planned.LOWERED,
        status={"small": {"override": override}, "conditions": [lost]},
        cooldownSeconds=600,
        large={"writer": "External"},
        schedules=[{"name": "days", "start": "07:30", "end": "18:00", "small": {"min": 8, "max": 16}}],
    )
    fleet["status"]["plan"]["large"]["bound"] = "Stabilization"
    assert values(fleet)["held"] == [
        "Its load is not known (MetricsLost): Prometheus answered 503.",
        "The large tier's count is left to others for good (scaling.large.writer: External).",
        "The large tier was lowered lately, and may be again at 12:06 UTC, in 6m (scaling.cooldownSeconds).",
        "The large tier is held at 2, which were needed a moment ago, until 12:05 UTC at the latest "
        "(scaling.stabilizationSeconds); then 3, if the load stays as it is.",
        "The small tier was set to 12 by kubectl-scale; the plan takes it back at 12:43 UTC, in 43m, and "
        "`heterofleet release chat --tier small` ends it now.",
        "Schedule days holds the small tier to at least 8 and at most 16 until 18:00 UTC.",
    ]


def test_a_hold_that_is_over_is_not_told() -> None:
    assert values(planned.fleet(planned.LOWERED, cooldownSeconds=60))["held"] == []


def test_a_fleet_that_decided_nothing_says_why() -> None:
    assert told(planned.fleet()).splitlines()[-1] == "No decision yet: every plan came to the count that was in force."
    assert told(stored.READY).splitlines()[-1] == (
        "No plan has been made yet: the operator makes one within a minute of seeing the fleet."
    )


def test_a_bound_of_a_newer_operator_is_told_in_its_own_words() -> None:
    fleet = planned.fleet(planned.decision("small", 1, 2, "Psychic", "a feeling"))
    (made,) = values(fleet)["decisions"]
    assert (made["bound"], made["because"]) == (
        "Psychic",
        "This version of the command does not know that bound; the operator says: a feeling.",
    )
    assert made["done"] == (
        "The small tier was raised from 1 to 2 instances; what that costs is not known, since the tier has no"
        " price.usdPerGpuHour."
    )
    assert made["seen"] == (
        "Nothing was known of the load of class act; 0 instances were ready, and what one carries was not known."
    )


def test_a_spec_of_another_version_costs_its_figures_and_nothing_else() -> None:
    fleet = planned.fleet(planned.LOWERED)
    fleet["spec"]["large"]["telepathy"] = True
    lines = told(fleet).splitlines()
    assert lines[0] == "chat in prod"
    assert "Its spec is another version's: prices and bounds are left out." in lines
    assert lines[-1] == "if         With a larger scaling.gpuBudget it would have been up to about 3 instances."


def test_a_status_of_another_version_ends_with_a_sentence() -> None:
    fleet = stored.fleet("chat", {"decisions": "none"})
    with pytest.raises(CliError, match="is another version's, which this command cannot read"):
        told(fleet)
