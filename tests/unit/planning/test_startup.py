"""How long a first start may take: from the size of the weights, never shorter than a small model needs."""

import pytest

from heterofleet.planning import catalogue, startup
from heterofleet.planning.topology import Layout

CATALOGUE = catalogue.load()
ONE_POD = Layout(8, 1, 1, False, 8)
FOUR_PODS = Layout(8, 4, 1, False, 8)


def test_the_prior_is_download_and_load_and_compile() -> None:
    facts = CATALOGUE.models["qwen/qwen3-235b-a22b"]
    # 470.2 GB at 250 MB/s, then at 1 GB/s over the pods, then 120 s.
    assert startup.seconds_prior(facts, ONE_POD) == pytest.approx(1880.7 + 470.2 + 120, abs=0.1)
    assert startup.seconds_prior(facts, FOUR_PODS) == pytest.approx(1880.7 + 117.5 + 120, abs=0.1)
    assert startup.seconds_prior(facts, FOUR_PODS, downloads=False) == pytest.approx(117.5 + 120, abs=0.1)


@pytest.mark.parametrize(
    ("source", "layout", "seconds"),
    [
        ("qwen/qwen3-4b", Layout(1, 1, 1, False, 1), 600),
        ("qwen/qwen3-235b-a22b-fp8", FOUR_PODS, 3420),
        ("deepseek-ai/deepseek-r1", Layout(8, 2, 1, True, 8), 9480),
    ],
)
def test_the_budget_is_three_times_the_prior_in_whole_minutes(source: str, layout: Layout, seconds: int) -> None:
    assert startup.budget_seconds(CATALOGUE.models[source], layout) == seconds


def test_an_unknown_model_gets_an_hour() -> None:
    assert startup.seconds_prior(None, ONE_POD) is None
    assert startup.budget_seconds(None, ONE_POD) == 3600
