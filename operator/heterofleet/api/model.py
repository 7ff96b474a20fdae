"""Which model a tier serves: where its weights come from, its name in the API, and facts of it.

What the facts decide (how much memory, which kernels) is `planning.fit`; here they are only stated.
"""

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from heterofleet.api.base import Model, Rule, SecretKey, ShortText, Transition

_SOURCE = (
    r"^(hf://[!-.0-~]+/[!-.0-~]+|s3://[!-.0-~]+(/[!-~]*)?|pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[!-~]*|file:///[!-~]+)$"
)
_SERVED_NAME = r"^[A-Za-z0-9][-A-Za-z0-9._/]*$"

_Count = Annotated[int, Field(ge=1, le=10_000_000)]
_Large = Annotated[int, Field(ge=1_000_000, le=1_000_000_000_000_000)]


class ModelFacts(Model):
    """What is known of a model; each fact given here beats the operator's catalogue, the others are taken from it."""

    parameters: _Large | None = Field(None, description="All weights, as a count: 235000000000 for a 235B model.")
    weight_bytes: _Large | None = Field(
        None, description="Bytes of the weights in GPU memory; from parameters and dtype unless given."
    )
    layers: Annotated[int, Field(ge=1, le=1000)] | None = Field(None, description="Transformer layers.")
    hidden_size: _Count | None = Field(None, description="Width of the model.")
    attention_heads: _Count | None = Field(None, description="Query heads; parallelism.tensor must divide them.")
    kv_heads: _Count | None = Field(None, description="Key and value heads; they size the KV cache.")
    head_dim: _Count | None = Field(None, description="Width of one head; hiddenSize / attentionHeads unless given.")
    kv_lora_rank: _Count | None = Field(
        None, description="Width of the compressed KV cache of a model with multi-head latent attention (DeepSeek)."
    )
    experts: Annotated[int, Field(ge=0, le=100_000)] | None = Field(
        None, description="Routed experts of a layer; 0 says that the model is dense."
    )
    moe_intermediate_size: _Count | None = Field(
        None, description="Width of one expert; cut by parallelism.tensor unless expertParallel is set."
    )
    quantization_block: _Count | None = Field(
        None, description="Edge of a block of block-quantised (FP8) weights, as in 128."
    )
    context_length: _Count | None = Field(None, description="Longest context in tokens.")
    family: ShortText | None = Field(
        None, description="Family of tokenizer and chat template, compared between the tiers (condition PairMatched)."
    )


class ModelSource(Model):
    """Which weights a tier serves, and under which name clients ask for them."""

    source: Annotated[str, StringConstraints(pattern=_SOURCE, max_length=512)] = Field(
        description="hf://ORG/NAME, s3://BUCKET/PREFIX, pvc://CLAIM/PATH or file:///PATH (in the image or on a volume)."
    )
    revision: ShortText = Field("main", description="Branch, tag or commit of an hf:// source.")
    served_name: Annotated[str, StringConstraints(pattern=_SERVED_NAME, max_length=128)] | None = Field(
        None,
        description="Name by which clients ask for this tier; <fleet>-large or <fleet>-small unless given. Immutable.",
    )
    token_secret: SecretKey | None = Field(
        None, description="Access token of an hf:// source, for private and gated models."
    )
    facts: ModelFacts | None = Field(
        None, description="Facts of a model that the catalogue does not know, or knows otherwise."
    )

    RULES: ClassVar = (
        Rule(
            cel="!has(self.tokenSecret) || self.source.startsWith('hf://')",
            message="model.tokenSecret belongs to an hf:// source: remove it, or use hf://",
            holds=lambda m: m.token_secret is None or m.source.startswith("hf://"),
        ),
        Rule(
            cel="self.revision == 'main' || self.source.startsWith('hf://')",
            message="model.revision belongs to an hf:// source: remove it, or name the revision in the path",
            holds=lambda m: m.revision == "main" or m.source.startswith("hf://"),
        ),
    )
    TRANSITIONS: ClassVar = (
        Transition(
            cel="has(self.servedName) == has(oldSelf.servedName)"
            " && (!has(self.servedName) || self.servedName == oldSelf.servedName)",
            message="servedName is immutable, since clients and the other tier use it: make a new fleet to rename it",
            holds=lambda new, old: new.served_name == old.served_name,
        ),
    )
