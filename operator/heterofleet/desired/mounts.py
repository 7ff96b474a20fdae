"""What a router's pods have mounted beyond their scratch space: keys, the store's password, the store's volume.

All are read while the router runs, so that a changed Secret reaches it without a roll; only another Secret or claim
rolls (`revision`). None is optional: a pod whose Secret is missing does not start, and those before it serve on.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from heterofleet.api.labels import Manifest
from heterofleet.api.router import RouterSpec

KEYS: Final = "/etc/heterofleet/keys"
STORE_PASSWORD: Final = "/etc/heterofleet/store"  # noqa: S105  a place, not a password
STORE: Final = "/var/lib/heterofleet"
"""Where routers look; their command line knows the same places."""


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


def of_router(spec: RouterSpec) -> Iterator[Mount]:
    """The mounts that the spec asks for; none by default."""
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


def secrets(spec: RouterSpec) -> tuple[str, ...]:
    """Names of the Secrets without which a router does not start."""
    return tuple(dict.fromkeys(m.source["secret"]["secretName"] for m in of_router(spec) if "secret" in m.source))
