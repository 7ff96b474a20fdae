"""What a tier's GPUs cost, and what its tokens are sold for (contracts.md, "Money").

The two are never mixed: GPUs held give the fleet's money, posted prices give the tenants'.
"""

from typing import ClassVar

from pydantic import Field

from heterofleet.api.base import Model, Rule


class TokenPrice(Model):
    """What a million tokens are posted at."""

    prompt: float = Field(ge=0, le=100_000, description="USD for a million tokens of prompts.")
    completion: float = Field(ge=0, le=100_000, description="USD for a million tokens of answers.")


class Price(Model):
    """What a tier's GPUs cost, and its tokens."""

    usd_per_gpu_hour: float | None = Field(
        None, ge=0, le=10_000, description="USD an hour for one GPU; no cost is shown unless both tiers have it."
    )
    usd_per_million_tokens: TokenPrice | None = Field(
        None, description="Posted price, which tenants' budgets count; from the relative cost unless given."
    )
    relative_token_cost: float | None = Field(
        None,
        ge=0.001,
        le=10_000,
        description="Cost of a token in terms of one of a 4B model; from the model's size unless given.",
    )

    RULES: ClassVar = (
        Rule(
            cel="!(has(self.usdPerMillionTokens) && has(self.relativeTokenCost))",
            message="usdPerMillionTokens says what relativeTokenCost would lead to: remove one",
            holds=lambda p: p.usd_per_million_tokens is None or p.relative_token_cost is None,
        ),
    )
