"""What the two tiers answer to the same request, side by side."""

from typing import ClassVar

from pydantic import Field

from heterofleet.api.base import Model, Ratio, Rule
from heterofleet.api.labels import Tier


class Consistency(Model):
    """Some answers of the small tier are compared with the large tier's."""

    share: Ratio = Field(0.0, description="Share of the small tier's answers that are compared.")
    blocking: bool = Field(
        False, description="Compare before answering, and give the large tier's answer where they differ."
    )
    threshold: Ratio = Field(0.5, description="Similarity of two answers below which they differ.")
    review: bool = Field(
        False, description="Hold answers that differ for a person's review; needs review and blocking."
    )

    RULES: ClassVar = (
        Rule(
            cel="!self.review || self.blocking",
            message="consistency.review holds an answer back, which needs consistency.blocking: true",
            holds=lambda c: not c.review or c.blocking,
        ),
    )


class Shadow(Model):
    """Copies of requests to a tier that is being tried; its answers are measured and thrown away."""

    share: Ratio = Field(0.0, description="Share of the other tier's requests that are copied.")
    tier: Tier = Field(Tier.SMALL, description="The tier that is tried.")
