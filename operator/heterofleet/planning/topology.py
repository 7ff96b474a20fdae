"""Decides how the GPUs of one instance are packed into pods, and which arguments tell vLLM so.

The first question asked of a tier: `spec.<tier>.parallelism` and the GPUs of a node become a `Layout`, or a
sentence that says why not and names the two nearest layouts that do. Everything later (does the model fit, how
many pods a StatefulSet has, what the supervisor starts) reads the layout and never the parallelism again.

    world = tensor x pipeline x data                GPUs of one instance
    pods  = world / gpus_per_pod                    gpus_per_pod defaults to min(world, gpus_per_node)

vLLM numbers the GPUs of an instance with tensor innermost, then pipeline, then data, and cuts that row into
`--nnodes` equal pieces. A data-parallel rank (tensor x pipeline GPUs) must therefore lie whole in one piece or
consist of whole pieces: `-tp 4 -dp 3 --nnodes 2` puts half a rank on each node and is refused by vLLM itself.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from math import log2
from typing import Final, NamedTuple, Protocol

_LARGEST_ADVISED: Final = 1024
"""Bounds the search for advice, whatever number was asked for."""


class Parallelism(Protocol):
    """What is read of `spec.<tier>.parallelism`."""

    @property
    def tensor(self) -> int: ...
    @property
    def pipeline(self) -> int: ...
    @property
    def data(self) -> int: ...
    @property
    def expert_parallel(self) -> bool: ...
    @property
    def gpus_per_pod(self) -> int | None: ...


class Sizes(NamedTuple):
    """A parallelism as plain values, for callers that have no spec."""

    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    expert_parallel: bool = False
    gpus_per_pod: int | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """One instance as whole pods: `pods` pods of `gpus_per_pod` GPUs each."""

    tensor: int
    pipeline: int
    data: int
    expert_parallel: bool
    gpus_per_pod: int

    @property
    def world(self) -> int:
        """GPUs of one instance."""
        return self.tensor * self.pipeline * self.data

    @property
    def pods(self) -> int:
        return self.world // self.gpus_per_pod

    @property
    def rank_gpus(self) -> int:
        """GPUs of one data-parallel rank, which holds the model once."""
        return self.tensor * self.pipeline

    @property
    def expert_parallel_size(self) -> int:
        """GPUs over which the experts of a layer are spread; 1 means that each expert is cut by tensor instead."""
        return self.tensor * self.data if self.expert_parallel else 1

    @property
    def spans_pods(self) -> bool:
        """Says that some tensor group crosses a pod's edge: correct, but slow without a fast fabric."""
        return self.gpus_per_pod % self.tensor != 0

    def __str__(self) -> str:
        pods = "1 pod" if self.pods == 1 else f"{self.pods} pods"
        experts = " with expertParallel" if self.expert_parallel else ""
        return f"{_sizes_text(self)}{experts} in {pods} of {_gpus(self.gpus_per_pod)}"


class Refusal(NamedTuple):
    """Why no instance can have this shape, in one sentence, and the nearest shapes that can be had."""

    message: str
    nearest: tuple[Layout, ...] = ()


def lay_out(parallelism: Parallelism, gpus_per_node: int, *, single_pod: bool = False) -> Layout | Refusal:
    """Pack one instance into as few pods as hold it.

    `single_pod` is the small tier's rule: one pod an instance and no pipeline.
    """
    layout = _packed(parallelism, gpus_per_node)
    problem = _problem(layout, gpus_per_node, single_pod=single_pod)
    if problem is None:
        return layout
    nearest = tuple(_nearest(layout, gpus_per_node, single_pod=single_pod))
    return Refusal(f"{problem}{_advice(layout, nearest)}.", nearest)


def vllm_arguments(layout: Layout) -> tuple[str, ...]:
    """Name the layout to `vllm serve`; node rank and leader's address differ by rank and are the supervisor's."""
    arguments = ["--tensor-parallel-size", str(layout.tensor)]
    if layout.pipeline > 1:
        arguments += ["--pipeline-parallel-size", str(layout.pipeline)]
    if layout.data > 1:
        arguments += ["--data-parallel-size", str(layout.data)]
    if layout.expert_parallel:
        arguments += ["--enable-expert-parallel"]
    if layout.pods > 1:
        arguments += ["--nnodes", str(layout.pods)]
    return tuple(arguments)


def _packed(parallelism: Parallelism, gpus_per_node: int) -> Layout:
    world = parallelism.tensor * parallelism.pipeline * parallelism.data
    return Layout(
        tensor=parallelism.tensor,
        pipeline=parallelism.pipeline,
        data=parallelism.data,
        expert_parallel=parallelism.expert_parallel,
        gpus_per_pod=parallelism.gpus_per_pod or min(world, gpus_per_node),
    )


def _problem(layout: Layout, gpus_per_node: int, *, single_pod: bool) -> str | None:
    world, per_pod, rank = layout.world, layout.gpus_per_pod, layout.rank_gpus
    if single_pod and layout.pipeline > 1:
        return f"pipeline {layout.pipeline} is not for the small tier, whose instances are one pod each"
    if per_pod > gpus_per_node:
        return f"gpusPerPod {per_pod} is more than the {_gpus(gpus_per_node)} of a node"
    if single_pod and world > per_pod:
        return (
            f"{_sizes_text(layout)} needs {_gpus(world)}, "
            f"but an instance of the small tier is one pod of at most {_gpus(per_pod)}"
        )
    if world % per_pod:
        return f"{_sizes_text(layout)} is {_gpus(world)}, which pods of {_gpus(per_pod)} cannot hold evenly"
    if rank % per_pod and per_pod % rank:
        return (
            f"a data-parallel rank of {_gpus(rank)} (tensor {layout.tensor} x pipeline {layout.pipeline}) neither "
            f"lies whole in one pod of {_gpus(per_pod)} nor fills whole pods"
        )
    return None


class _Change(NamedTuple):
    """A sound layout that differs from the refused one in the single field `name`."""

    name: str
    distance: float
    layout: Layout


def _nearest(refused: Layout, gpus_per_node: int, *, single_pod: bool) -> Iterator[Layout]:
    """Yield the two nearest sound layouts, each by another field.

    The packing is tried first because it leaves the instance as it was asked for; a layout that newly cuts
    a tensor group across pods comes last.
    """

    def cost(change: _Change) -> tuple[bool, bool, float, int, int]:
        newly_spans = change.layout.spans_pods and refused.tensor <= gpus_per_node
        layout = change.layout
        return newly_spans, change.name != "gpusPerPod", change.distance, -layout.world, -layout.gpus_per_pod

    seen: set[str] = set()
    for change in sorted(_changes(refused, gpus_per_node, single_pod=single_pod), key=cost):
        if change.name not in seen and len(seen) < 2:
            seen.add(change.name)
            yield change.layout


def _changes(refused: Layout, gpus_per_node: int, *, single_pod: bool) -> Iterator[_Change]:
    largest = min(2 * max(refused.world, gpus_per_node), _LARGEST_ADVISED)
    every = range(1, largest + 1)
    # Heads and blocks of weights are nearly always divisible by powers of two and rarely by anything else.
    powers_of_two = [2**exponent for exponent in range(largest.bit_length()) if 2**exponent <= largest]
    # Data parallelism is for mixture models only, so it is not advised to those who did not ask for it.
    ranks = every if refused.data > 1 else range(0)
    fields: tuple[tuple[str, int, Iterable[int], Callable[[int], Layout]], ...] = (
        ("gpusPerPod", refused.gpus_per_pod, every, lambda size: replace(refused, gpus_per_pod=size)),
        ("data", refused.data, ranks, lambda size: _repacked(refused, gpus_per_node, data=size)),
        ("pipeline", refused.pipeline, every, lambda size: _repacked(refused, gpus_per_node, pipeline=size)),
        ("tensor", refused.tensor, powers_of_two, lambda size: _repacked(refused, gpus_per_node, tensor=size)),
    )
    for name, asked, sizes, changed in fields:
        for size in sizes:
            layout = changed(size)
            if size != asked and _problem(layout, gpus_per_node, single_pod=single_pod) is None:
                yield _Change(name, abs(log2(size / asked)), layout)


def _repacked(
    layout: Layout,
    gpus_per_node: int,
    *,
    tensor: int | None = None,
    pipeline: int | None = None,
    data: int | None = None,
) -> Layout:
    sizes = Sizes(
        tensor=tensor or layout.tensor,
        pipeline=pipeline or layout.pipeline,
        data=data or layout.data,
        expert_parallel=layout.expert_parallel,
    )
    return _packed(sizes, gpus_per_node)


def _advice(refused: Layout, nearest: tuple[Layout, ...]) -> str:
    return f"; use {' or '.join(str(layout) for layout in nearest)}" if nearest else ""


def _sizes_text(layout: Layout) -> str:
    sizes = f"tensor {layout.tensor} x pipeline {layout.pipeline}"
    return f"{sizes} x data {layout.data}" if layout.data > 1 else sizes


def _gpus(count: int) -> str:
    return "1 GPU" if count == 1 else f"{count} GPUs"
