"""Nodes: GPUs that can be asked for, and the label by which fleets and the catalogue know which they are."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from heterofleet.api import labels
from heterofleet.cli.checks.result import Question, Result, Verdict
from heterofleet.cluster import errors
from heterofleet.cluster.records import NodeRecord
from heterofleet.planning import catalogue

_GPU_WORDS: Final = ("gpu", "/mig-")


async def gpus(question: Question) -> Iterable[Result]:
    try:
        nodes = [NodeRecord.of(node) for node in await question.api.list("/api/v1/nodes")]
    except errors.Forbidden:
        finding = "you may not read nodes, so that GPUs cannot be counted"
        return [Result("GPUs", Verdict.WARN, finding, "ask an administrator for the right to list nodes")]
    return list(_judged([node for node in nodes if _gpu_count(node)], len(nodes)))


def _judged(having: Sequence[NodeRecord], nodes: int) -> Iterator[Result]:
    if not having:
        yield Result(
            "GPUs",
            Verdict.FAIL,
            f"none of {_nodes(nodes)} offers GPUs",
            "install the vendor's device plugin or GPU operator; where an autoscaler adds nodes on demand, "
            "set placement.capacity: Elastic in fleets",
        )
        return
    usable = [node for node in having if node.ready and not node.unschedulable]
    resources: Counter[str] = Counter()
    for node in usable:
        resources.update({name: count for name, count in node.devices.items() if _is_gpu(name)})
    counts = ", ".join(f"{count} {name}" for name, count in sorted(resources.items()))
    away = f"; {len(having) - len(usable)} more are cordoned or not ready" if len(usable) < len(having) else ""
    if usable:
        yield Result("GPUs", Verdict.OK, f"{counts} on {_nodes(len(usable))}{away}")
    else:
        finding = f"{_nodes(len(having))} with GPUs, all cordoned or not ready"
        yield Result("GPUs", Verdict.FAIL, finding, "see why: kubectl get nodes")
    yield _products(having)


def _products(having: Sequence[NodeRecord]) -> Result:
    products = Counter(node.labels.get(labels.GPU_PRODUCT, "") for node in having)
    bare = products.pop("", 0)
    known = catalogue.load()
    unknown = sorted(product for product in products if known.gpu(product) is None)
    named = ", ".join(f"{product} ({_nodes(count)})" for product, count in sorted(products.items()))
    if not products:
        return Result(
            "GPU product",
            Verdict.WARN,
            f"no node has the label {labels.GPU_PRODUCT}, so that fit cannot be checked against what is there",
            "install NVIDIA's GPU feature discovery, and until then leave placement.gpuProduct out",
        )
    if bare:
        finding = f"{named}; {_nodes(bare)} with GPUs but without the label {labels.GPU_PRODUCT}"
        advice = "let NVIDIA's GPU feature discovery run on all of them, else fleets that name a product avoid them"
        return Result("GPU product", Verdict.WARN, finding, advice)
    if unknown:
        finding = f"{named}; the memory of {', '.join(unknown)} is not known"
        return Result("GPU product", Verdict.WARN, finding, "there, whether a model fits shows only when it starts")
    return Result("GPU product", Verdict.OK, named)


def _nodes(count: int) -> str:
    return f"{count} node{'' if count == 1 else 's'}"


def _gpu_count(node: NodeRecord) -> int:
    return sum(count for name, count in node.devices.items() if _is_gpu(name))


def _is_gpu(name: str) -> bool:
    return any(word in name for word in _GPU_WORDS)
