"""Packing of one instance into pods: the facts of vLLM, the refusals, and what holds for every shape."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from heterofleet.planning import topology
from heterofleet.planning.topology import Layout, Refusal, Sizes

SIZES = st.builds(
    Sizes,
    tensor=st.integers(1, 32),
    pipeline=st.integers(1, 8),
    data=st.integers(1, 16),
    expert_parallel=st.booleans(),
    gpus_per_pod=st.none() | st.integers(1, 16),
)
NODES = st.integers(1, 16)


@pytest.mark.parametrize(
    ("sizes", "pods", "gpus_per_pod", "spans_pods"),
    [
        (Sizes(), 1, 1, False),
        (Sizes(tensor=8, pipeline=4), 4, 8, False),
        (Sizes(tensor=1, data=16), 2, 8, False),
        (Sizes(tensor=16), 2, 8, True),
        (Sizes(tensor=8, pipeline=2, data=2), 4, 8, False),
        (Sizes(tensor=4, data=3, gpus_per_pod=4), 3, 4, False),
        (Sizes(tensor=8, gpus_per_pod=4), 2, 4, True),
        (Sizes(tensor=2, pipeline=6, gpus_per_pod=6), 2, 6, False),
        (Sizes(tensor=4, pipeline=3, gpus_per_pod=6), 2, 6, True),
    ],
)
def test_an_instance_takes_as_few_pods_as_hold_it(sizes: Sizes, pods: int, gpus_per_pod: int, spans_pods: bool) -> None:
    layout = topology.lay_out(sizes, gpus_per_node=8)
    assert layout == Layout(sizes.tensor, sizes.pipeline, sizes.data, sizes.expert_parallel, gpus_per_pod)
    assert (layout.pods, layout.spans_pods) == (pods, spans_pods)


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        (
            Sizes(tensor=4, data=3, gpus_per_pod=6),
            "a data-parallel rank of 4 GPUs (tensor 4 x pipeline 1) neither lies whole in one pod of 6 GPUs nor "
            "fills whole pods; use tensor 4 x pipeline 1 x data 3 in 3 pods of 4 GPUs or "
            "tensor 4 x pipeline 1 x data 4 in 2 pods of 8 GPUs.",
        ),
        (
            Sizes(tensor=4, data=3),
            "tensor 4 x pipeline 1 x data 3 is 12 GPUs, which pods of 8 GPUs cannot hold evenly; use "
            "tensor 4 x pipeline 1 x data 3 in 3 pods of 4 GPUs or tensor 4 x pipeline 1 x data 4 in "
            "2 pods of 8 GPUs.",
        ),
        (
            Sizes(tensor=12),
            "tensor 12 x pipeline 1 is 12 GPUs, which pods of 8 GPUs cannot hold evenly; use "
            "tensor 12 x pipeline 1 in 2 pods of 6 GPUs or tensor 16 x pipeline 1 in 2 pods of 8 GPUs.",
        ),
        (
            Sizes(tensor=8, gpus_per_pod=16),
            "gpusPerPod 16 is more than the 8 GPUs of a node; use tensor 8 x pipeline 1 in 1 pod of 8 GPUs or "
            "tensor 8 x pipeline 2 in 2 pods of 8 GPUs.",
        ),
    ],
)
def test_a_shape_that_does_not_divide_is_refused_with_the_two_nearest_that_do(sizes: Sizes, sentence: str) -> None:
    refusal = topology.lay_out(sizes, gpus_per_node=8)
    assert isinstance(refusal, Refusal)
    assert refusal.message == sentence
    assert len(refusal.nearest) == 2


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        (
            Sizes(tensor=4, pipeline=2),
            "pipeline 2 is not for the small tier, whose instances are one pod each; "
            "use tensor 4 x pipeline 1 in 1 pod of 4 GPUs.",
        ),
        (
            Sizes(tensor=16),
            "tensor 16 x pipeline 1 needs 16 GPUs, but an instance of the small tier is one pod of at most "
            "8 GPUs; use tensor 8 x pipeline 1 in 1 pod of 8 GPUs.",
        ),
    ],
)
def test_an_instance_of_the_small_tier_is_one_pod_without_a_pipeline(sizes: Sizes, sentence: str) -> None:
    refusal = topology.lay_out(sizes, gpus_per_node=8, single_pod=True)
    assert isinstance(refusal, Refusal)
    assert refusal.message == sentence


@pytest.mark.parametrize(
    ("layout", "arguments"),
    [
        (Layout(1, 1, 1, False, 1), "--tensor-parallel-size 1"),
        (
            Layout(8, 4, 1, True, 8),
            "--tensor-parallel-size 8 --pipeline-parallel-size 4 --enable-expert-parallel --nnodes 4",
        ),
        (Layout(1, 1, 16, False, 8), "--tensor-parallel-size 1 --data-parallel-size 16 --nnodes 2"),
    ],
)
def test_vllm_is_told_only_the_sizes_that_differ_from_its_own_defaults(layout: Layout, arguments: str) -> None:
    assert " ".join(topology.vllm_arguments(layout)) == arguments


def test_experts_are_spread_over_tensor_times_data_gpus() -> None:
    assert Layout(8, 2, 2, True, 8).expert_parallel_size == 16
    assert Layout(8, 2, 2, False, 8).expert_parallel_size == 1


@given(SIZES, NODES, st.booleans())
def test_every_answer_is_sound_or_leads_to_a_sound_one(sizes: Sizes, gpus_per_node: int, single_pod: bool) -> None:
    answer = topology.lay_out(sizes, gpus_per_node, single_pod=single_pod)
    for layout in answer.nearest if isinstance(answer, Refusal) else (answer,):
        assert layout.world == layout.pods * layout.gpus_per_pod
        assert layout.gpus_per_pod <= gpus_per_node
        assert not single_pod or (layout.pods, layout.pipeline) == (1, 1)
        again = Sizes(layout.tensor, layout.pipeline, layout.data, layout.expert_parallel, layout.gpus_per_pod)
        assert topology.lay_out(again, gpus_per_node, single_pod=single_pod) == layout
    if isinstance(answer, Refusal):
        assert answer.message.endswith(".")
        assert all(str(layout) in answer.message for layout in answer.nearest)


@given(SIZES, NODES)
def test_every_data_parallel_rank_lies_whole_in_one_pod_or_fills_whole_pods(sizes: Sizes, gpus_per_node: int) -> None:
    layout = topology.lay_out(sizes, gpus_per_node)
    assume(isinstance(layout, Layout))
    assert isinstance(layout, Layout)
    pod_of = [gpu // layout.gpus_per_pod for gpu in range(layout.world)]
    ranks_of_pod: dict[int, set[int]] = {}
    for gpu, pod in enumerate(pod_of):
        ranks_of_pod.setdefault(pod, set()).add(gpu // layout.rank_gpus)
    for rank in range(layout.data):
        pods = set(pod_of[rank * layout.rank_gpus : (rank + 1) * layout.rank_gpus])
        assert len(pods) == 1 or all(ranks_of_pod[pod] == {rank} for pod in pods)


@given(SIZES, NODES)
def test_a_layout_says_that_tensor_spans_pods_exactly_when_a_group_crosses_an_edge(
    sizes: Sizes, gpus_per_node: int
) -> None:
    layout = topology.lay_out(sizes, gpus_per_node)
    assume(isinstance(layout, Layout))
    assert isinstance(layout, Layout)
    groups = [range(first, first + layout.tensor) for first in range(0, layout.world, layout.tensor)]
    crosses = any(len({gpu // layout.gpus_per_pod for gpu in group}) > 1 for group in groups)
    assert layout.spans_pods == crosses
