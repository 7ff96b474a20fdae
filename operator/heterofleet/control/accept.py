"""Whether a fleet may be acted on: what the pure judgement says, and what only the cluster can tell.

`planning.acceptance` judges layout and fit; here come the questions to the cluster: can nodes be read (Fixed capacity
counts on them), can several pods share the cache.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from heterofleet.api import labels
from heterofleet.api.conditions import Reason
from heterofleet.api.labels import FleetKey, Tier
from heterofleet.api.placement import Capacity
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cluster import errors
from heterofleet.cluster.cache import Cache
from heterofleet.cluster.client import Cluster
from heterofleet.cluster.objects import Ref
from heterofleet.planning import acceptance
from heterofleet.planning.acceptance import Remark
from heterofleet.planning.catalogue import Catalogue
from heterofleet.status import Finding

CLAIM_SECONDS = 60
MOST_KNOWN = 8192
_SHARED = frozenset({"ReadWriteMany", "ReadOnlyMany"})


class Gate:
    """Judges specs; remembers a judgement by the fleet's generation and a claim for a minute."""

    def __init__(self, cluster: Cluster, cache: Cache, catalogue: Catalogue, clock: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._cache = cache
        self._catalogue = catalogue
        self._clock = clock
        self._judged: dict[FleetKey, tuple[str, int, tuple[Remark, ...]]] = {}
        self._claims: dict[tuple[str, str], tuple[datetime, Finding | None]] = {}

    def remarks(self, fleet: HeterogeneousDeployment) -> tuple[Remark, ...]:
        """What the pure judgement says of the spec."""
        known = self._judged.get(fleet.key)
        if known is not None and known[:2] == (fleet.metadata.uid, fleet.metadata.generation):
            return known[2]
        found = acceptance.remarks(fleet.spec, self._catalogue)
        self._judged[fleet.key] = (fleet.metadata.uid, fleet.metadata.generation, found)
        return found

    def forget(self, key: FleetKey) -> None:
        self._judged.pop(key, None)

    async def refusal(self, fleet: HeterogeneousDeployment) -> Finding | None:
        """Why nothing may be written for this fleet, or None."""
        refusing = [remark for remark in self.remarks(fleet) if remark.refuses]
        if refusing:
            return Finding(refusing[0].reason, acceptance.joined(refusing))
        for tier in Tier:
            finding = self._nodes_problem(fleet, tier) or self._product_problem(fleet, tier)
            finding = finding or await self._cache_problem(fleet, tier)
            if finding is not None:
                return finding
        return await self._store_problem(fleet)

    def _nodes_problem(self, fleet: HeterogeneousDeployment, tier: Tier) -> Finding | None:
        if fleet.spec.tier(tier).placement.capacity is not Capacity.FIXED or "Node" not in self._cache.unreadable():
            return None
        return Finding(
            Reason.NODES_NOT_READABLE,
            f"{tier}: placement.capacity Fixed needs to read nodes: grant the operator list and watch on nodes"
            " (chart value rbac.nodes), or set placement.capacity: Elastic",
        )

    def _product_problem(self, fleet: HeterogeneousDeployment, tier: Tier) -> Finding | None:
        """A product that neither the catalogue nor any node knows is a slip of the pen, or nodes that are not there."""
        product = fleet.spec.tier(tier).placement.gpu_product
        if product is None or self._catalogue.gpu(product) is not None:
            return None
        if fleet.spec.tier(tier).placement.capacity is not Capacity.FIXED:
            return None  # A node autoscaler may bring nodes that nobody has seen.
        present = {node.labels.get(labels.GPU_PRODUCT) for node in self._cache.nodes().values()} - {None}
        if product in present:
            return None
        known = sorted(str(name) for name in present) or self._catalogue.similar_products(product)
        sentence = f"{tier}: no node has the label {labels.GPU_PRODUCT}={product}"
        advice = (
            f"write one of: {', '.join(known)}" if known else "label the GPU nodes, or correct placement.gpuProduct"
        )
        return Finding(Reason.UNKNOWN_GPU_PRODUCT, f"{sentence}: {advice}")

    async def _cache_problem(self, fleet: HeterogeneousDeployment, tier: Tier) -> Finding | None:
        """A claim that must serve several pods has to be one that several nodes can mount."""
        spec = fleet.spec.tier(tier)
        claim = spec.storage.cache.persistent_volume_claim
        names = {claim.claim_name} if claim is not None else set()
        if spec.model.source.startswith("pvc://"):
            names.add(spec.model.source.removeprefix("pvc://").partition("/")[0])
        several = spec.pods_per_instance * max(spec.instances.most, 1) > 1
        for name in sorted(names):
            finding = await self._claim(fleet.metadata.namespace, name)
            if finding is not None and (several or finding.reason is Reason.CACHE_MISSING):
                return Finding(finding.reason, f"{tier}: {finding.message}")
        return None

    async def _store_problem(self, fleet: HeterogeneousDeployment) -> Finding | None:
        """The only router's volume needs no more than to be there."""
        file = fleet.spec.router.store.file
        if file is None:
            return None
        finding = await self._claim(fleet.metadata.namespace, file.persistent_volume_claim)
        if finding is None or finding.reason is not Reason.CACHE_MISSING:
            return None
        return Finding(finding.reason, f"router: {finding.message}")

    async def _claim(self, namespace: str, name: str) -> Finding | None:
        now = self._clock()
        known = self._claims.get((namespace, name))
        if known is not None and now < known[0] + timedelta(seconds=CLAIM_SECONDS):
            return known[1]
        if len(self._claims) >= MOST_KNOWN:
            self._claims.clear()
        finding = await self._read_claim(namespace, name)
        if finding is None or finding.reason is not Reason.CACHE_MISSING:
            self._claims[namespace, name] = (now, finding)
        return finding

    async def _read_claim(self, namespace: str, name: str) -> Finding | None:
        try:
            manifest = await self._cluster.get(Ref("v1", "PersistentVolumeClaim", namespace, name))
        except errors.Forbidden:
            return None  # Without the right to look, the scheduler will tell.
        if manifest is None:
            return Finding(Reason.CACHE_MISSING, f"PersistentVolumeClaim {name} does not exist: create it first")
        modes = set(manifest["spec"].get("accessModes") or ())
        if modes & _SHARED:
            return None
        return Finding(
            Reason.CACHE_NOT_SHARED,
            f"PersistentVolumeClaim {name} is {', '.join(sorted(modes)) or 'without access mode'} and several pods"
            " need it: use a claim with ReadWriteMany or ReadOnlyMany, a hostPath, or an emptyDir",
        )
