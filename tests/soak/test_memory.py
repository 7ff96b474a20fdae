"""What counts as memory that grows."""

from collections.abc import Sequence

from soak import memory
from soak.sampling import Sample


def samples(megabytes: Sequence[float]) -> list[Sample]:
    return [Sample(float(at), mb, 10, 0.0, 10, 0, 0, 0, 0, 0) for at, mb in enumerate(megabytes)]


def test_what_grows_during_the_warm_up_is_no_growth() -> None:
    assert memory.growth_mb(samples([*range(50, 110), *[110.0] * 240])) == 0.0


def test_what_grows_after_it_is() -> None:
    growth = memory.growth_mb(samples([100.0] * 60 + [100 + second / 10 for second in range(240)]))
    assert growth is not None
    assert growth > 20


def test_one_large_request_is_no_leak() -> None:
    assert memory.growth_mb(samples([100.0] * 295 + [300.0] * 3 + [100.0] * 2)) == 0.0


def test_a_short_life_has_a_warm_up_of_a_third() -> None:
    assert memory.growth_mb(samples([*range(50, 60), *[100.0] * 20])) == 0.0


def test_too_few_samples_say_nothing() -> None:
    assert memory.growth_mb(samples([100.0] * 11)) is None
