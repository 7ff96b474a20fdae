"""How a soak's asks follow the trace, and what is left of the fleet when nobody asks."""

import pytest

from soak.datacentre import facts
from soak.datacentre.run import pace


@pytest.mark.parametrize("seconds", [35.0, 180.0, 1200.0])
def test_work_triples_and_then_falls_by_a_third_in_a_soak_of_any_length(seconds: float) -> None:
    asks = pace(10.0, seconds)
    asked = [asks(seconds * step / 100) for step in range(100)]
    assert max(asked) > 3 * asked[0]
    assert asked[-1] < max(asked) * 2 / 3


def test_the_fewest_gpus_are_those_of_both_lower_bounds() -> None:
    spec = {
        "large": {"instances": {"min": 1, "max": 2}, "parallelism": {"tensor": 8, "pipeline": 2}},
        "small": {"instances": {"min": 2, "max": 8}},
    }
    assert facts.fewest_gpus(spec) == 18
