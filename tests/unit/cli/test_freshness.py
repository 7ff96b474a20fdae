"""How old a status may be, by the operator's Lease."""

import pytest

from heterofleet.cli import freshness
from heterofleet.cli.freshness import Operator
from unit.cli import stored
from unit.cli.stored import StoredApi

ALL = "/apis/coordination.k8s.io/v1/leases"
ONE = "/apis/coordination.k8s.io/v1/namespaces/heterofleet-system/leases/heterofleet-operator"


@pytest.mark.parametrize(
    ("age_seconds", "holder", "sentence"),
    [
        (2, "a", ""),
        (15, "a", ""),
        (16, "a", "The operator has not been seen for 16s: what is shown may be that old."),
        (3, "", "The operator stepped down 3s ago: what is shown may be that old."),
    ],
)
def test_a_status_is_fresh_while_somebody_holds_the_lease(age_seconds: int, holder: str, sentence: str) -> None:
    found = freshness.newest([stored.lease(stored.ago(seconds=age_seconds), holder)])
    assert freshness.sentence(found, stored.NOW) == sentence


def test_without_a_lease_no_operator_has_run() -> None:
    assert freshness.newest([]).renewed is None
    assert freshness.sentence(freshness.newest([]), stored.NOW).startswith("No operator has run in this cluster yet")


def test_of_several_operators_the_one_seen_last_speaks() -> None:
    leases = [stored.lease(stored.ago(seconds=age), holder) for age, holder in ((90, "a"), (3, "b"), (40, "c"))]
    assert freshness.newest(leases).holder == "b"


async def test_leases_of_other_programs_are_not_the_operators() -> None:
    other = stored.lease(stored.ago(seconds=1))
    other["metadata"]["name"] = "kube-scheduler"
    assert await freshness.operator(StoredApi({ALL: {"items": [other]}})) == freshness.newest([])


async def test_who_may_not_read_all_leases_asks_where_the_operator_usually_lies() -> None:
    lease = stored.lease(stored.ago(seconds=1), "a")
    found = await freshness.operator(StoredApi({ONE: lease}, forbidden=(ALL,)))
    assert isinstance(found, Operator)
    assert (found.namespace, found.holder) == ("heterofleet-system", "a")


async def test_who_may_read_no_lease_learns_that_the_age_is_not_known() -> None:
    found = await freshness.operator(StoredApi({}, forbidden=(ALL, ONE)))
    assert found is None
    assert freshness.sentence(found, stored.NOW).startswith("Whether the operator runs is not known")
