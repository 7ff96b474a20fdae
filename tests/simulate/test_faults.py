"""Faults come to the share of requests that was asked for, and the same ones for the same seed."""

from collections import Counter

import pytest
from pydantic import ValidationError

from heterofleet.simulate.faults import Die, Fault, Faults


def test_each_fault_meets_its_share() -> None:
    die = Die(Faults(shares={Fault.ERROR: 0.2, Fault.CUT: 0.3}, seed=3))
    thrown = Counter(die.throw() for _ in range(10_000))
    assert set(thrown) == {None, Fault.ERROR, Fault.CUT}
    assert thrown[Fault.ERROR] == pytest.approx(2_000, rel=0.1)
    assert thrown[Fault.CUT] == pytest.approx(3_000, rel=0.1)


def test_a_seed_draws_the_same_again_and_another_seed_does_not() -> None:
    def drawn(seed: int) -> list[Fault | None]:
        die = Die(Faults(shares={Fault.BUSY: 0.5}, seed=seed))
        return [die.throw() for _ in range(50)]

    assert drawn(1) == drawn(1) != drawn(2)


@pytest.mark.parametrize(
    "given", ['{"shares": {"error": 0.6, "cut": 0.6}}', '{"shares": {"mood": 1}}', '{"slow": 0}', '{"sloow": 2}']
)
def test_what_makes_no_sense_is_refused(given: str) -> None:
    with pytest.raises(ValidationError):
        Faults.model_validate_json(given)
