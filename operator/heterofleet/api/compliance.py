"""What may not pass a router, in whichever direction."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from heterofleet.api.base import KeyedBy, Model
from heterofleet.api.tenancy import TenantName


class ComplianceAction(StrEnum):
    DENY = "Deny"
    REDACT = "Redact"


class ComplianceScope(StrEnum):
    PROMPT = "Prompt"
    ANSWER = "Answer"
    BOTH = "Both"


class ComplianceRule(Model):
    """What may not pass."""

    name: TenantName = Field(description="Name of the rule, as the audit log gives it.")
    pattern: Annotated[str, StringConstraints(min_length=1, max_length=1024)] = Field(
        description="Regular expression in RE2's syntax. Routers compile it, and what they refuse shows in the"
        " condition RouterConfigured."
    )
    action: ComplianceAction = Field(
        ComplianceAction.DENY, description="Deny: the request fails. Redact: what matches is replaced."
    )
    scope: ComplianceScope = Field(ComplianceScope.BOTH, description="Where it is looked for.")
    replacement: Annotated[str, StringConstraints(max_length=256)] = Field(
        "[redacted]", description="What stands instead, where the action is Redact."
    )


class Compliance(Model):
    """Rules that prompts and answers of every tier are held to."""

    rules: Annotated[list[ComplianceRule], Field(max_length=64), KeyedBy("name")] = Field(
        default_factory=list, description="The rules, applied in this order."
    )
    max_match_characters: int = Field(
        256,
        ge=16,
        le=8192,
        description="Longest match that is found in a streamed answer: so many characters of it are held back.",
    )
