"""Who may ask, and what each may spend."""

from typing import Annotated

from pydantic import Field, StringConstraints

from heterofleet.api.base import KeyedBy, Model, ObjectName, Ratio

TenantName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$", max_length=63)]


class Auth(Model):
    """Who may ask."""

    keys_secret: ObjectName | None = Field(
        None,
        description="Secret of the clients' keys: each of its entries is called like a tenant and holds one SHA-256 in"
        " hex a line. Anyone may ask unless given.",
    )


class TenantBudget(Model):
    """What tenants may spend in 24 hours."""

    usd_per_day: Annotated[float, Field(ge=0, le=10_000_000)] | None = Field(
        None, description="USD at the tiers' posted prices."
    )
    tokens_per_day: Annotated[int, Field(ge=0, le=1_000_000_000_000)] | None = Field(
        None, description="Tokens of prompts and answers together."
    )


class NamedTenant(TenantBudget):
    """One tenant, where it differs from the others."""

    name: TenantName = Field(description="The tenant, as auth.keysSecret names it.")
    weight: float = Field(1.0, ge=0.001, le=1000, description="Its share when tenants wait for the same capacity.")


class Tenants(Model):
    """What tenants may spend, and how they share what is scarce."""

    each: TenantBudget = TenantBudget()
    named: Annotated[list[NamedTenant], Field(max_length=256), KeyedBy("name")] = Field(
        default_factory=list, description="Tenants with a budget or weight of their own."
    )
    soft_fraction: Ratio = Field(
        0.8,
        description="Share of a budget from which the small tier is preferred; at the whole of it requests get 429.",
    )

    @property
    def bounded(self) -> bool:
        """Whether any tenant has a budget."""
        return any(t.usd_per_day is not None or t.tokens_per_day is not None for t in (self.each, *self.named))
