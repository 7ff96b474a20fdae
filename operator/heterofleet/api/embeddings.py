"""Who answers /v1/embeddings: engines beside the fleet's tiers, which their user runs."""

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from heterofleet.api.base import Model, Rule, ShortText

_PORT = r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"

Address = Annotated[str, StringConstraints(pattern=rf"^[A-Za-z0-9.\[\]:-]+:{_PORT}$", max_length=300)]


class Embeddings(Model):
    """Engines that answer /v1/embeddings. Their user runs them; the operator only tells routers of them."""

    endpoints: Annotated[list[Address], Field(min_length=1, max_length=64)] = Field(
        description="host:port of each engine, or of a Service of theirs. They are asked over HTTP and without a key."
    )
    model: ShortText = Field(description="Name of the model, as clients send it and the engines know it.")
    usd_per_million_tokens: Annotated[float, Field(ge=0, le=100_000)] | None = Field(
        None, description="Posted price of a million tokens, which tenants' budgets count; free unless given."
    )

    RULES: ClassVar = (
        Rule(
            cel="!(self.model in ['auto', 'plan', 'act'])",
            message="embeddings.model must not be auto, plan or act, by which chats are asked for: give it the name"
            " that its engines know",
            holds=lambda e: e.model not in ("auto", "plan", "act"),
        ),
    )
