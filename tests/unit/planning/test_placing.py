"""Which nodes admit a pod, and how many whole groups fit on them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.planning import placing
from heterofleet.planning.placing import Demand, Node, Places, Shape, Taint, Toleration

GPU = "nvidia.com/gpu"
RACK = "rack"
DEMAND = Demand(GPU, {"pool": "a"}, (Toleration("reserved", "Equal", "llm", "NoSchedule"),))


def node(name: str = "n", gpus: int = 8, **facts: object) -> Node:
    labels = {"pool": "a", RACK: name[0]}
    return Node(name, **{"labels": labels, "free_gpus": gpus, **facts})  # type: ignore[arg-type]  # facts by name


@pytest.mark.parametrize(
    ("facts", "admitted"),
    [
        ({}, True),
        ({"ready": False}, False),
        ({"unschedulable": True}, False),
        ({"labels": {"pool": "b"}}, False),
        ({"taints": (Taint("reserved", "llm", "NoSchedule"),)}, True),
        ({"taints": (Taint("reserved", "other", "NoSchedule"),)}, False),
        ({"taints": (Taint("reserved", "llm", "NoExecute"),)}, False),
        ({"taints": (Taint("any", "", "PreferNoSchedule"),)}, True),
        ({"taints": (Taint(GPU, "present", "NoSchedule"),)}, True),
    ],
)
def test_a_node_admits_a_pod_by_readiness_labels_and_taints(facts: dict[str, Any], admitted: bool):
    assert placing.admits(node(**facts), DEMAND) is admitted


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        (Toleration(operator="Exists"), True),
        (Toleration(operator="Exists", effect="NoExecute"), False),
        (Toleration("k", "Exists"), True),
        (Toleration("k", "Equal", "v"), True),
        (Toleration("k", "Equal", ""), False),
        (Toleration("other", "Exists"), False),
        (Toleration("", "Equal", "v"), False),
    ],
)
def test_a_toleration_means_what_kubernetes_means_by_it(toleration: Toleration, tolerated: bool):
    assert placing.tolerates(toleration, Taint("k", "v", "NoSchedule")) is tolerated


def test_a_demand_is_read_from_the_rendered_pod():
    spec = {"nodeSelector": {"pool": "a"}, "tolerations": [{"operator": "Exists"}, {"key": "k", "value": "v"}]}
    expected = (Toleration(operator="Exists"), Toleration("k", "Equal", "v"))
    assert Demand.of(spec, GPU) == Demand(GPU, {"pool": "a"}, expected)
    assert Demand.of({}, GPU) == Demand(GPU)


def test_a_group_takes_the_fullest_nodes_so_that_whole_ones_stay_free():
    nodes = [node("a", 8), node("b", 4), node("c", 4)]
    assert placing.place(nodes, Shape(2, 4), 1, None) == Places((("b", "c"),), 16)


def test_the_pods_of_a_group_share_a_topology_value_where_that_is_asked_for():
    nodes = [node("a1"), node("b1"), node("b2"), node("c1", labels={})]
    assert placing.place(nodes, Shape(2, 8), 2, RACK) == Places((("b1", "b2"),), 32)
    assert len(placing.place(nodes, Shape(2, 8), 2, None).groups) == 2


@given(
    gpus=st.lists(st.integers(0, 8), max_size=12),
    pods=st.integers(1, 4),
    per_pod=st.integers(1, 8),
    wanted=st.integers(0, 5),
)
def test_no_node_is_given_more_than_it_has_and_no_group_that_fits_is_left_out(gpus, pods, per_pod, wanted):
    nodes = [node(f"n{i}", count) for i, count in enumerate(gpus)]
    places = placing.place(nodes, Shape(pods, per_pod), wanted, None)
    rest = placing.without(nodes, places, per_pod)
    assert all(left.free_gpus >= 0 for left in rest)
    assert all(len(group) == pods for group in places.groups)
    possible = sum(count // per_pod for count in gpus) // pods
    assert len(places.groups) == min(wanted, possible)
    assert sum(n.free_gpus for n in rest) == places.free_gpus - len(places.groups) * pods * per_pod
