"""How old a status may be: the operator writes every change within seconds, so its Lease tells when it stopped.

The Lease lies beside the operator. Who may not read Leases there learns that the age is not known, which is no
reason to show less.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from heterofleet.api.labels import Manifest
from heterofleet.cli import ages
from heterofleet.cli.access import Api
from heterofleet.cluster import errors

LEASE: Final = "heterofleet-operator"
"""Its name ends so, whatever the release is called."""
USUAL_NAMESPACE: Final = "heterofleet-system"
_LEASES: Final = "/apis/coordination.k8s.io/v1"


class Operator(NamedTuple):
    """What the Lease says: `renewed` is None where no operator ever led, `holder` empty where it stepped down."""

    namespace: str
    holder: str
    renewed: datetime | None
    lasts: timedelta

    def gone(self, now: datetime) -> bool:
        """Says that nobody writes statuses now."""
        return self.renewed is None or not self.holder or now - self.renewed > self.lasts


async def operator(api: Api) -> Operator | None:
    """The operator that was seen last; None when that cannot be read."""
    try:
        # Each node has a Lease too, in a namespace of their own.
        every = await api.list(f"{_LEASES}/leases", {"fieldSelector": "metadata.namespace!=kube-node-lease"})
        leases = [lease for lease in every if str(lease["metadata"]["name"]).endswith(LEASE)]
    except errors.Forbidden:
        try:
            leases = [await api.get(f"{_LEASES}/namespaces/{USUAL_NAMESPACE}/leases/{LEASE}")]
        except (errors.Forbidden, errors.NotFound):
            return None
    return newest(leases)


def newest(leases: Iterable[Manifest]) -> Operator:
    """Several operators may care for a list of namespaces each; the one seen last speaks for all."""
    read = [_read(lease) for lease in leases]
    never = Operator("", "", None, timedelta())
    return max(read, key=lambda found: found.renewed.timestamp() if found.renewed else 0.0, default=never)


def sentence(found: Operator | None, now: datetime) -> str:
    """A warning for who reads a status, or nothing when it is fresh."""
    if found is None:
        return "Whether the operator runs is not known: its Lease may not be read by you."
    if found.renewed is None:
        return "No operator has run in this cluster yet: nothing is done for fleets."
    if not found.gone(now):
        return ""
    age = ages.elapsed(now - found.renewed)
    if not found.holder:
        return f"The operator stepped down {age} ago: what is shown may be that old."
    return f"The operator has not been seen for {age}: what is shown may be that old."


def _read(lease: Manifest) -> Operator:
    spec: Mapping[str, Any] = lease.get("spec") or {}
    renewed = spec.get("renewTime")
    return Operator(
        namespace=str(lease["metadata"].get("namespace", "")),
        holder=str(spec.get("holderIdentity") or ""),
        renewed=datetime.fromisoformat(renewed) if renewed else None,
        lasts=timedelta(seconds=int(spec.get("leaseDurationSeconds") or 15)),
    )
