"""The reference pages: complete, since they are made of the definitions and of the enums."""

import re

from heterofleet.api import advice, conditions, crd, reference, v1alpha1
from heterofleet.api.labels import EventReason


def test_every_reason_says_what_it_means_and_where_it_stands() -> None:
    assert set(advice.ADVICE) == set(conditions.Reason)
    assert [reason for reason, told in advice.ADVICE.items() if not told.conditions or not told.meaning] == []


def test_every_condition_says_what_it_means_and_has_reasons_for_well_and_ill() -> None:
    assert set(advice.MEANINGS) == set(conditions.ConditionType)
    assert [type_ for type_ in conditions.ConditionType if len(list(advice.reasons(type_))) < 2] == []


def test_every_event_says_what_it_means() -> None:
    assert set(advice.EVENTS) == set(EventReason)


def test_only_reasons_of_a_fleet_at_rest_leave_nothing_to_do() -> None:
    idle = {reason for reason, told in advice.ADVICE.items() if not told.to_do}
    assert idle == {
        conditions.Reason.VALID,
        conditions.Reason.ALL_READY,
        conditions.Reason.CONFIGURED,
        conditions.Reason.METRICS_FRESH,
        conditions.Reason.WITHIN_BUDGET,
        conditions.Reason.SAME_FAMILY,
        conditions.Reason.HEALTHY,
        conditions.Reason.WITHIN_BOUNDS,
        conditions.Reason.UP_TO_DATE,
        conditions.Reason.SETTLED,
    }


def test_a_field_is_shown_with_type_default_bounds_and_meaning() -> None:
    page = reference.of_definition(crd.definitions()[0])
    assert "| `tensor` | integer | `1` | GPUs over which each layer is cut. From 1 to 64. |" in page.splitlines()
    assert "| `source` | string | required | hf://ORG/NAME" in page


def test_both_tiers_have_one_shape_and_so_one_section() -> None:
    spec = crd.structural_schema(v1alpha1.FleetSpec)["properties"]
    assert spec["large"] == spec["small"]
    assert spec["scaling"]["properties"]["large"] == spec["scaling"]["properties"]["small"]
    page = reference.of_definition(crd.definitions()[0]).splitlines()
    assert [line for line in page if line.startswith(("## spec.TIER", "## spec.large", "## spec.small"))][0:2] == [
        "## spec.TIER",
        "## spec.TIER.model",
    ]


def test_every_section_that_is_linked_exists() -> None:
    for definition in crd.definitions():
        page = reference.of_definition(definition)
        anchors = {
            "".join(letter for letter in line.lower() if letter.isalnum())
            for line in page.splitlines()
            if line.startswith("## ")
        }
        assert set(re.findall(r"\(#(\w+)\)", page)) == anchors - {"spec", "status"}


def test_every_rule_stands_on_the_page() -> None:
    fleet = crd.definitions()[0]
    page = reference.of_definition(fleet)
    spec = fleet["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert [rule["message"] for rule in spec["x-kubernetes-validations"] if rule["message"] not in page] == []
    assert "- servedName is immutable" in page
