"""A claim is what a condition says; dated, it becomes the condition, with the time of its last change."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from heterofleet.api.conditions import Condition, ConditionType, FleetStatus, Reason
from heterofleet.status.facts import Finding

LONGEST_MESSAGE = 1024
"""What a condition says is for a person; longer texts stay in logs and Events."""


@dataclass(frozen=True)
class Claim:
    type: ConditionType
    status: bool
    reason: Reason
    message: str


def claim(type_: ConditionType, status: bool, finding: Finding) -> Claim:
    return Claim(type_, status, finding.reason, finding.message)


def dated(
    claims: Sequence[Claim | Condition], previous: FleetStatus, generation: int, now: datetime
) -> list[Condition]:
    conditions = []
    for claim in claims:
        known = previous.condition(claim.type)
        unchanged = known is not None and known.status == claim.status
        conditions.append(
            Condition(
                type=claim.type,
                status=claim.status,
                reason=claim.reason,
                message=claim.message[:LONGEST_MESSAGE],
                observed_generation=generation,
                last_transition_time=known.last_transition_time if known and unchanged else now,
            )
        )
    return conditions
