"""How many bytes one GPU of an instance holds: weights, working memory, and the KV cache of one token.

Stands below `fit`, which compares the sum with the GPU's memory. All of it follows how vLLM 0.32 cuts a model:

    layers       to pipeline stages, as evenly as they go (vLLM's get_pp_indices)
    attention    by tensor; a KV head is repeated where tensor is larger than their number, and the low-rank
                 projections of multi-head latent attention are whole on every GPU
    feed-forward by tensor
    experts      by tensor x data, or whole experts over tensor x data GPUs with expert parallelism
    embeddings   by tensor, the input's on the first stage and the output's on the last
    KV cache     2 x KV heads x head size a token and layer, or the latent vector, which every GPU keeps whole

Where the shape of a model is only partly known the weights are split evenly, which is the least a GPU can hold:
what is refused on that ground truly does not fit.
"""

from math import ceil
from typing import Final, NamedTuple

from heterofleet.planning.catalogue import Facts, Gpu
from heterofleet.planning.topology import Layout

GIB: Final = 2**30

_CUDA_BYTES: Final = GIB // 2
"""CUDA's context and libraries, outside of PyTorch's allocator."""

_NCCL_BYTES: Final = GIB // 2
"""Buffers of the collectives and of vLLM's own all-reduce, once an instance has more than one GPU."""

_GRAPH_BYTES: Final = GIB // 2
"""CUDA graphs of the decode batches."""

_SEQUENCES: Final = 256
"""vLLM's default of --max-num-seqs on most GPUs; the sampler is warmed up with that many rows of logits."""


class Sizing(NamedTuple):
    """What of an engine's settings decides how much memory it takes; None is vLLM's own default."""

    memory_utilization: float = 0.9
    max_model_len: int | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    element_bytes: int = 2
    kv_element_bytes: int = 2


class Stage(NamedTuple):
    """Bytes on each GPU of one pipeline stage."""

    weight_bytes: float
    kv_bytes_per_token: int | None


class _Shape(NamedTuple):
    """A wholly known architecture."""

    layers: int
    dense_layers: int
    hidden: int
    vocabulary: int
    heads: int
    kv_heads: int
    head_dim: int
    feed_forward: int
    experts: int
    expert_feed_forward: int


def stages(facts: Facts, layout: Layout, sizing: Sizing) -> tuple[Stage, ...] | None:
    """Cut the model over the pipeline; None if not even the size of its weights is known."""
    total = total_weight_bytes(facts, sizing.element_bytes)
    if total is None:
        return None
    kv = _kv_bytes_per_layer(facts, layout.tensor, sizing.kv_element_bytes)
    shape = _shape(facts)
    if shape is None:
        gpus = layout.world if layout.data > 1 else layout.rank_gpus
        most_layers = ceil((facts.layers or 0) / layout.pipeline)
        return (Stage(total / gpus, kv and kv * most_layers),)
    # The architecture gives the proportions; what is known of the whole sets the scale.
    scale = total / _model_bytes(facts, shape, sizing.element_bytes)
    embedding = shape.vocabulary * shape.hidden * sizing.element_bytes / layout.tensor
    cut, first = [], 0
    for stage, count in enumerate(stage_layers(shape.layers, layout.pipeline)):
        weights = sum(
            _layer_bytes(facts, shape, layout, sizing.element_bytes, dense=layer < shape.dense_layers)
            for layer in range(first, first + count)
        )
        tables = (stage == 0) + (stage == layout.pipeline - 1)
        if facts.tied_embeddings and layout.pipeline == 1:
            tables = 1
        cut.append(Stage(scale * (weights + tables * embedding), kv and kv * count))
        first += count
    return tuple(cut)


def total_weight_bytes(facts: Facts, element_bytes: int = 2) -> float | None:
    """Bytes of all weights as they lie in memory, from the best that is known."""
    if facts.weight_bytes is not None:
        # Known bytes are those of 16-bit weights; a quantised checkpoint keeps its size whatever the dtype is.
        return facts.weight_bytes * (element_bytes / 2 if facts.quantization_block is None else 1)
    if facts.parameters is not None:
        return facts.parameters * _linear_bytes(facts, element_bytes)
    shape = _shape(facts)
    return _model_bytes(facts, shape, element_bytes) if shape else None


def working_bytes(facts: Facts, layout: Layout, sizing: Sizing, gpu: Gpu) -> int:
    """Estimate what a GPU needs beside weights and KV cache: context, collectives, graphs, one batch's activations.

    The activations are those of the widest layer for --max-num-batched-tokens tokens: residual stream and
    attention, the feed-forward's halves, or each token's copies for its experts (vLLM's fused mixture kernel),
    and the sampler's logits.
    """
    tokens = sizing.max_num_batched_tokens or gpu.batched_tokens
    hidden = facts.hidden_size or 0
    width = 4 * hidden + 3 * (facts.intermediate_size or 0) / layout.tensor
    if facts.is_mixture and facts.moe_intermediate_size:
        part = facts.moe_intermediate_size / (1 if layout.expert_parallel else layout.tensor * layout.data)
        copies = facts.experts_per_token or 8
        width = max(width, 4 * hidden + copies * (max(2 * part, hidden) + part))
    rows = sizing.max_num_seqs or _SEQUENCES
    logits = rows * (facts.vocab_size or 0) * 4
    fixed = _CUDA_BYTES + _GRAPH_BYTES + (_NCCL_BYTES if layout.world > 1 else 0)
    return int(fixed + tokens * width * sizing.element_bytes + logits)


def stage_layers(layers: int, pipeline: int) -> list[int]:
    """Split layers as vLLM does: what is left over goes to the stages before the last, the latest first."""
    counts = [layers // pipeline] * pipeline
    for extra in range(layers % pipeline):
        counts[-(extra + 2)] += 1
    return counts


def _shape(facts: Facts) -> _Shape | None:
    sizes = (facts.layers, facts.hidden_size, facts.vocab_size, facts.attention_heads, facts.kv_heads)
    layers, hidden, vocabulary, heads, kv_heads = (size or 0 for size in sizes)
    head_dim = facts.head_dim or (hidden // heads if heads else 0)
    feed_forward = facts.intermediate_size or 0
    expert = facts.moe_intermediate_size or 0
    needs_feed_forward = facts.is_dense or facts.dense_layers > 0
    if not all((layers, hidden, vocabulary, heads, kv_heads)) or facts.experts is None:
        return None
    if (needs_feed_forward and not feed_forward) or (facts.experts and not expert):
        return None
    dense_layers = layers if facts.is_dense else facts.dense_layers
    return _Shape(
        layers, dense_layers, hidden, vocabulary, heads, kv_heads, head_dim, feed_forward, facts.experts, expert
    )


def _model_bytes(facts: Facts, shape: _Shape, element_bytes: int) -> float:
    whole = Layout(tensor=1, pipeline=1, data=1, expert_parallel=False, gpus_per_pod=1)
    mixtures = shape.layers - shape.dense_layers
    tables = 1 if facts.tied_embeddings else 2
    return (
        tables * shape.vocabulary * shape.hidden * element_bytes
        + shape.dense_layers * _layer_bytes(facts, shape, whole, element_bytes, dense=True)
        + mixtures * _layer_bytes(facts, shape, whole, element_bytes, dense=False)
    )


def _layer_bytes(facts: Facts, shape: _Shape, layout: Layout, element_bytes: int, *, dense: bool) -> float:
    """Bytes of one layer on one GPU; norms and biases are too small to count."""
    linear: float = _attention_weights(facts, shape, layout.tensor)
    router = 0
    if dense:
        linear += 3 * shape.hidden * shape.feed_forward / layout.tensor
    else:
        router = shape.hidden * shape.experts
        shared = facts.shared_experts * shape.expert_feed_forward / layout.tensor
        routed: float
        if layout.expert_parallel:
            routed = ceil(shape.experts / layout.expert_parallel_size) * shape.expert_feed_forward
        else:
            routed = shape.experts * shape.expert_feed_forward / (layout.tensor * layout.data)
        linear += 3 * shape.hidden * (shared + routed)
    return linear * _linear_bytes(facts, element_bytes) + router * element_bytes


def _attention_weights(facts: Facts, shape: _Shape, tensor: int) -> float:
    """Count the weights of one layer's attention on one GPU."""
    heads = shape.heads / tensor
    if facts.kv_lora_rank is None:
        kv_heads = max(1, shape.kv_heads / tensor)
        return shape.hidden * shape.head_dim * (2 * heads + 2 * kv_heads)
    latent, rope = facts.kv_lora_rank, facts.qk_rope_head_dim
    query = facts.qk_nope_head_dim + rope
    queries: float = heads * query * shape.hidden
    if facts.q_lora_rank is not None:
        queries = facts.q_lora_rank * (shape.hidden + heads * query)
    keys_and_values = shape.hidden * (latent + rope) + latent * heads * (facts.qk_nope_head_dim + facts.v_head_dim)
    return queries + keys_and_values + heads * facts.v_head_dim * shape.hidden


def _linear_bytes(facts: Facts, element_bytes: int) -> float:
    """Bytes a weight of a linear layer takes, with its share of the block's scale."""
    if facts.quantization_block is None:
        return element_bytes
    return 1 + 4 / facts.quantization_block**2


def _kv_bytes_per_layer(facts: Facts, tensor: int, element_bytes: int) -> int | None:
    if not facts.layers:
        return None
    if facts.kv_lora_rank is not None:
        return (facts.kv_lora_rank + facts.qk_rope_head_dim) * element_bytes
    head_dim = facts.head_dim
    if head_dim is None and facts.hidden_size and facts.attention_heads:
        head_dim = facts.hidden_size // facts.attention_heads
    if facts.kv_heads is None or head_dim is None:
        return None
    return 2 * max(1, facts.kv_heads // tensor) * head_dim * element_bytes
