"""What cannot be read is not known, and never zero."""

import pytest

from heterofleet.api.labels import Tier
from heterofleet.metrics import exposition

ENGINE = """
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 2
vllm:num_requests_running{engine="1",model_name="m"} 1
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="m"} 4
"""
QUEUES = """
# TYPE heterofleet_router_queue_requests gauge
heterofleet_router_queue_requests{tier="large"} 2
heterofleet_router_queue_requests{tier="small"} 9
"""
ROUTER = """
# TYPE heterofleet_router_in_flight_requests gauge
heterofleet_router_in_flight_requests{endpoint="10.0.0.1:8000"} 3
heterofleet_router_in_flight_requests{endpoint="10.0.0.2:8000"} 1
"""


def test_an_engine_holds_what_runs_and_what_waits_over_all_its_cores():
    assert exposition.engine_in_flight(ENGINE) == 7


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>",
        "vllm:num_requests_running 1",
        ENGINE.replace("vllm:num_requests_waiting{", "vllm:num_requests_swapped{"),
        ENGINE.replace("} 4", "} NaN"),
        ENGINE.replace("} 4", "} four"),
    ],
)
def test_an_engine_whose_numbers_cannot_be_read_is_not_idle(text: str):
    assert exposition.engine_in_flight(text) is None


def test_a_router_has_nothing_under_way_at_an_endpoint_that_it_does_not_list():
    assert exposition.router_in_flight(ROUTER, "10.0.0.1:8000") == 3
    assert exposition.router_in_flight(ROUTER, "10.0.0.9:8000") == 0


@pytest.mark.parametrize("text", ["", "<html>", "up 1\n", ROUTER.replace("} 3", "} NaN"), ROUTER.replace("} 3", "} x")])
def test_a_text_that_is_no_router_s_says_nothing(text: str):
    assert exposition.router_in_flight(text, "10.0.0.1:8000") is None


def test_a_router_says_how_many_wait_for_each_tier():
    assert exposition.router_queue(QUEUES) == {Tier.LARGE: 2.0, Tier.SMALL: 9.0}


def test_classes_of_a_queue_are_taken_together():
    both = QUEUES.replace('{tier="small"} 9', '{tier="small",class="act"} 9') + (
        'heterofleet_router_queue_requests{tier="small",class="plan"} 1\n'
    )
    assert exposition.router_queue(both) == {Tier.LARGE: 2.0, Tier.SMALL: 10.0}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>",
        ROUTER,
        QUEUES.replace('tier="small"', 'tier="other"'),
        QUEUES.replace("} 9", "} NaN"),
        QUEUES.replace("} 9", "} -1"),
        QUEUES.replace("} 9", "} nine"),
    ],
)
def test_a_queue_that_is_not_told_is_not_empty(text: str):
    assert exposition.router_queue(text) is None
