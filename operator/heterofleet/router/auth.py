"""Whose key a request carries: the tenant, or nobody.

Stands at the very front of the flow. Keys are known as SHA-256 only, several a tenant so that they can be rotated, and
a key that is presented is looked up by its hash: how long that takes says nothing about how much of a key was right.
Headers that were right are remembered in a bounded memory, so that a known client costs one look-up and no hash; wrong
ones are not, or else a stranger could push the right ones out. No key or hash is ever shown, in no sentence either.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Final

REMEMBERED_HEADERS: Final = 4096
LONGEST_HEADER: Final = 1024
"""Characters of a header that are looked at: no key is longer, and hashing must not be a way to keep a router busy."""

_HASH: Final = re.compile(r"[0-9a-fA-F]{64}")
_TENANT: Final = re.compile(r"[a-z0-9]([-a-z0-9_.]{0,61}[a-z0-9])?")


class InvalidKeys(Exception):
    """A file of keys that cannot be taken; the sentence says which line of which tenant, never what it holds."""


class Keys:
    """The clients' keys at one moment; a reload makes a new value."""

    __slots__ = ("_known", "_tenants")

    def __init__(self, tenants: Mapping[bytes, str]) -> None:
        self._tenants = dict(tenants)
        self._known: dict[str, str] = {}

    @classmethod
    def parse(cls, texts: Mapping[str, str]) -> "Keys":
        """Keys from one text a tenant: a SHA-256 in hex a line, `#` begins a comment. Raises InvalidKeys."""
        tenants: dict[bytes, str] = {}
        for tenant, text in texts.items():
            if not _TENANT.fullmatch(tenant):
                raise InvalidKeys(
                    "an entry of the keys is not called like a tenant: use at most 63 of a-z, 0-9, '-', '_' and '.',"
                    " with a letter or digit at both ends"
                )
            for number, digest in _hashes(tenant, text):
                owner = tenants.setdefault(digest, tenant)
                if owner != tenant:
                    raise InvalidKeys(
                        f"line {number} of tenant {tenant} is also a key of tenant {owner}: a key belongs to one tenant"
                    )
        return cls(tenants)

    def tenant_of(self, authorization: str | bytes | None) -> str | None:
        """The tenant whose key the header `Authorization: Bearer KEY` carries; None if it is nobody's."""
        if authorization is None:
            return None
        if isinstance(authorization, bytes):
            authorization = authorization.decode("latin-1")
        tenant = self._known.get(authorization)
        return tenant if tenant is not None else self._look_up(authorization)

    def _look_up(self, header: str) -> str | None:
        scheme, _, token = header.partition(" ")
        token = token.strip(" \t")
        if len(header) > LONGEST_HEADER or scheme.lower() != "bearer" or not token:
            return None
        # A header that did not come as bytes may hold anything, but hashing must not be what fails.
        digest = hashlib.sha256(token.encode("latin-1", "replace")).digest()
        tenant = self._tenants.get(digest)
        if tenant is not None:
            if len(self._known) >= REMEMBERED_HEADERS:
                del self._known[next(iter(self._known))]
            self._known[header] = tenant
        return tenant

    @property
    def tenants(self) -> frozenset[str]:
        """The tenants that have a key."""
        return frozenset(self._tenants.values())

    def __len__(self) -> int:
        return len(self._tenants)

    def __repr__(self) -> str:
        return f"<Keys: {len(self._tenants)} of {len(self.tenants)} tenants>"


def _hashes(tenant: str, text: str) -> Iterator[tuple[int, bytes]]:
    """The hashes of one tenant with the numbers of their lines."""
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        if not _HASH.fullmatch(content):
            raise InvalidKeys(
                f"line {number} of tenant {tenant} is not a SHA-256 in hex: write the 64 digits that"
                " `printf %s KEY | sha256sum` prints, and what follows a '#' as you like"
            )
        yield number, bytes.fromhex(content)
