"""A fleet as the API server gives it, read for showing: what another version wrote and we do not know is left out.

First step of `status`; pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from pydantic import ValidationError

from heterofleet.api.conditions import Condition, ConditionType, FleetStatus, TierStatus
from heterofleet.api.labels import FleetKey, Manifest, Tier


@dataclass(frozen=True, slots=True)
class FleetView:
    """`external` are the tiers whose counts others set; `unknown` names what this version cannot read."""

    key: FleetKey
    created: datetime | None
    generation: int
    deleting: bool
    suspended: bool
    external: frozenset[Tier]
    status: FleetStatus
    unknown: tuple[str, ...]

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        metadata: Mapping[str, Any] = manifest["metadata"]
        spec: Mapping[str, Any] = manifest.get("spec") or {}
        status, unknown = _status(manifest.get("status") or {})
        return cls(
            key=FleetKey(metadata.get("namespace", ""), metadata["name"]),
            created=_time(metadata.get("creationTimestamp")),
            generation=int(metadata.get("generation", 0)),
            deleting="deletionTimestamp" in metadata,
            suspended=bool(spec.get("suspend", False)),
            external=frozenset(tier for tier in Tier if _writer(spec, tier) == "External"),
            status=status,
            unknown=unknown,
        )

    @property
    def ready(self) -> Condition | None:
        return self.status.condition(ConditionType.READY)

    def tier(self, tier: Tier) -> TierStatus:
        return self.status.tier(tier)

    @property
    def unseen(self) -> bool:
        """Says that the operator has not worked on the last change of the spec yet."""
        return self.status.observed_generation < self.generation

    def amiss(self) -> tuple[Condition, ...]:
        """The conditions that are not as they should be, Ready apart."""
        return tuple(
            condition
            for condition in self.status.conditions
            if condition.type is not ConditionType.READY and condition.is_amiss
        )


def _status(raw: Mapping[str, Any]) -> tuple[FleetStatus, tuple[str, ...]]:
    """Read what can be read: one value of a newer operator must not hide the others."""
    try:
        status = FleetStatus.model_validate(raw)
    except ValidationError:
        return FleetStatus(), ("status",)
    known = {str(condition.type) for condition in status.conditions}
    written = [str(condition.get("type")) for condition in raw.get("conditions") or ()]
    return status, tuple(f"condition {type_}" for type_ in written if type_ not in known)


def _writer(spec: Mapping[str, Any], tier: Tier) -> str | None:
    scaling = spec.get("scaling") or {}
    writer: str | None = (scaling.get(str(tier)) or {}).get("writer")
    return writer


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
