"""Which store a policy asks for, opened."""

from pathlib import Path

from heterofleet.api.store import Store as StorePolicy
from heterofleet.router.stores import Store
from heterofleet.router.stores.file import FileStore
from heterofleet.router.stores.memory import MemoryStore


def open_store(
    wanted: StorePolicy, *, namespace: str, fleet: str, journal: Path, password_file: Path | None = None
) -> Store:
    """A server if one is named, else the file `journal` on a volume, else memory; once, before the router serves.

    `password_file` holds the server's password where the policy names a Secret for it. Raises InUse, Damaged, OSError.
    """
    if wanted.redis is not None:
        from heterofleet.router.stores.redis import RedisStore  # noqa: PLC0415  25 MB that other routers do not need

        host, _, port = wanted.redis.address.rpartition(":")
        secret = password_file if wanted.redis.password_secret is not None else None
        return RedisStore(
            host.strip("[]"), int(port), namespace=namespace, fleet=fleet, tls=wanted.redis.tls, password_file=secret
        )
    return FileStore.open(journal) if wanted.file is not None else MemoryStore()
