"""What pods have mounted of the user's Secrets and claims: keys, the store's password, the store's volume.

Routers read all of it while they run, so that a changed Secret reaches them without a roll; engines read their ring of
keys when they start. Another Secret or claim rolls (`revision`). None is optional: a pod whose Secret is missing does
not start, and those before it serve on.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from heterofleet.api.labels import Manifest
from heterofleet.api.v1alpha1 import FleetSpec

KEYS: Final = "/etc/heterofleet/keys"
STORE_PASSWORD: Final = "/etc/heterofleet/store"  # noqa: S105  a place, not a password
STORE: Final = "/var/lib/heterofleet"
"""Where routers look; their command line knows the same places."""

ENGINE_KEYS: Final = "/etc/heterofleet/engine-keys"
"""Where routers and supervisors look for the ring."""


class Mount(NamedTuple):
    """A volume of the pod, and where its container finds it."""

    name: str
    path: str
    source: Manifest
    read_only: bool = True

    @property
    def volume(self) -> Manifest:
        return {"name": self.name, **self.source}

    @property
    def mount(self) -> Manifest:
        return {"name": self.name, "mountPath": self.path, **({"readOnly": True} if self.read_only else {})}


def of_router(fleet: FleetSpec) -> Iterator[Mount]:
    """The mounts that the spec asks for; none by default."""
    spec = fleet.router
    if fleet.engine_keys is not None:
        yield _ring(fleet.engine_keys.secret)
    if spec.auth.keys_secret is not None:
        yield Mount("keys", KEYS, {"secret": {"secretName": spec.auth.keys_secret}})
    redis, file = spec.store.redis, spec.store.file
    if redis is not None and redis.password_secret is not None:
        kept = redis.password_secret
        source = {"secretName": kept.name, "items": [{"key": kept.key, "path": "password"}]}
        yield Mount("store-password", STORE_PASSWORD, {"secret": source})
    if file is not None:
        claim = {"claimName": file.persistent_volume_claim}
        yield Mount("store", STORE, {"persistentVolumeClaim": claim}, read_only=False)


def of_engine(fleet: FleetSpec) -> Iterator[Mount]:
    """The ring, where engines ask for keys; every rank has it, since all share one template."""
    secret = ring_of_engines(fleet)
    if secret is not None:
        yield _ring(secret)


def ring_of_engines(fleet: FleetSpec) -> str | None:
    """The Secret of the keys that engines ask for; None where they ask for none."""
    return fleet.engine_keys.secret if fleet.engine_keys is not None and fleet.engine_keys.enforced else None


def secrets(mounted: Iterable[Mount]) -> tuple[str, ...]:
    """Names of the Secrets without which a pod with these mounts does not start."""
    return tuple(dict.fromkeys(m.source["secret"]["secretName"] for m in mounted if "secret" in m.source))


def _ring(secret: str) -> Mount:
    return Mount("engine-keys", ENGINE_KEYS, {"secret": {"secretName": secret}})
