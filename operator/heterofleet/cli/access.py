"""Asks the cluster: a few verbs on paths, and every refusal turned into a sentence for a person.

`Api` is the seam that tests fill with a cluster in memory. The connection is the operator's own
(`cluster.connection`), loaded only when a command needs it.
"""

import argparse
import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from heterofleet.api.labels import API_VERSION, FLEET_PLURAL, Manifest
from heterofleet.cli import kubeconfig
from heterofleet.cli.errors import CliError, ClusterAccessError
from heterofleet.cli.kubeconfig import Target
from heterofleet.cluster import errors

_PAGE: Final = 500
_PROXY_SECONDS: Final = 1.0
_FIELD_MANAGER: Final = "heterofleet-cli"
APPLY: Final = "application/apply-patch+yaml"
MERGE: Final = "application/merge-patch+json"
FLEETS: Final = f"/apis/{API_VERSION}/{FLEET_PLURAL}"


class Api(Protocol):
    """Objects of a cluster by path; every method raises cluster.errors.ClusterError."""

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Manifest:
        """Read one object."""

    async def list(self, path: str, query: Mapping[str, str] | None = None) -> list[Manifest]:
        """Read all objects of a collection, page by page."""

    async def merge(self, path: str, patch: Manifest) -> Manifest:
        """Apply a JSON merge patch."""

    async def create(self, path: str, body: Manifest) -> Manifest:
        """Post an object, or a review that the server answers."""

    async def text(self, path: str) -> str:
        """Read what a pod answers through the server's proxy; one that is slow is Unavailable."""

    async def try_out(self, path: str, change: "Change") -> Manifest:
        """What the server would store if it were told so, all its checks made and nothing written."""


class Change(NamedTuple):
    """A patch of one object: server-side apply under a name, or the merge patch of a client that applies."""

    body: Manifest
    content_type: str
    manager: str


Session = Callable[[Api, Target], Awaitable[int]]


def run(options: argparse.Namespace, session: Session) -> int:
    """Open the cluster that `options` name, run `session` on it, and give its exit code."""
    target = kubeconfig.target(options)

    async def opened() -> int:
        async with _open(target) as api:
            return await session(api, target)

    try:
        return asyncio.run(opened())
    except errors.ClusterError as error:
        raise ClusterAccessError(sentence(error, target)) from error


def sentence(error: errors.ClusterError, target: Target) -> str:
    """What went wrong, and what to do about it where that can be known."""
    place = f" (context {target.context})" if target.context else ""
    if isinstance(error, errors.Unavailable):
        if str(error).startswith("kubeconfig: "):
            return f"{error}{place}"
        return f"the API server at {target.server}{place} does not answer: {_cause(str(error))}"
    if isinstance(error, errors.Forbidden) and error.status == 401:
        return f"{target.server}{place} does not accept your credentials: log in again"
    if isinstance(error, errors.Forbidden) and "system:anonymous" in str(error):
        return f"{target.server}{place} does not know who you are: the kubeconfig brought no credentials, log in again"
    if isinstance(error, errors.Forbidden):
        return f"{error}: ask an administrator of the cluster for this right"
    if isinstance(error, errors.NotFound) and not names_an_object(error):
        return (
            f"{target.server}{place} does not know fleets: install Heterofleet there, or choose another "
            f"--context; `heterofleet doctor` says what is missing"
        )
    return str(error)


def _cause(message: str) -> str:
    """The HTTP library's sentence repeats the address and its own settings; what a person needs is in brackets."""
    certificate = re.search(r"certificate verify failed: (.*?) \(_ssl", message)
    if certificate:
        return f"its certificate is not trusted ({certificate[1]})"
    if "Connect call failed" in message:
        return "the connection is refused"
    bracketed = re.search(r"\[([^\[\]]+)\]$", message)
    return bracketed[1] if bracketed else message.split(": ", maxsplit=1)[-1]


def names_an_object(error: errors.ClusterError) -> bool:
    """Whether a NotFound is about one object; the server answers otherwise when it does not serve the kind."""
    return '" not found' in str(error)


def fleets(namespace: str | None) -> str:
    """Path of the fleets of one namespace, or of all."""
    return f"/apis/{API_VERSION}/namespaces/{namespace}/{FLEET_PLURAL}" if namespace else FLEETS


async def fleet(api: Api, namespace: str, name: str) -> Manifest:
    """Read one fleet; raises CliError naming the fleets that there are when it is not among them."""
    try:
        return await api.get(f"{fleets(namespace)}/{name}")
    except errors.NotFound as error:
        if not names_an_object(error):
            raise
        raise CliError(await _missing(api, namespace, name)) from error


async def _missing(api: Api, namespace: str, name: str) -> str:
    import difflib  # noqa: PLC0415  needed on this way alone

    here = [str(item["metadata"]["name"]) for item in await api.list(fleets(namespace))]
    close = difflib.get_close_matches(name, here, n=1)
    if close:
        return f"there is no fleet {name} in namespace {namespace}; did you mean {close[0]}?"
    with contextlib.suppress(errors.ClusterError):
        everywhere = await api.list(fleets(None))
        places = [item["metadata"]["namespace"] for item in everywhere if item["metadata"]["name"] == name]
        if places:
            return f"there is no fleet {name} in namespace {namespace}; there is one in {', '.join(sorted(places))}"
    rest = f"; there are {', '.join(sorted(here)[:10])}" if here else ", nor any other"
    return f"there is no fleet {name} in namespace {namespace}{rest}"


@contextlib.asynccontextmanager
async def _open(target: Target) -> AsyncIterator[Api]:
    from heterofleet.cluster import connection  # noqa: PLC0415  a quarter of a second, spent only where needed

    async with connection.connect(target.kubeconfig, target.context or None) as opened:
        yield _Opened(opened.request)


class _Opened:
    """`Api` over an open connection."""

    def __init__(self, request: Callable[..., Awaitable[bytes]]) -> None:
        self._request = request

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Manifest:
        return await self._json("GET", path, query=query)

    async def list(self, path: str, query: Mapping[str, str] | None = None) -> list[Manifest]:
        found: list[Manifest] = []
        asked = {**(query or {}), "limit": str(_PAGE)}
        while True:
            page = await self._json("GET", path, query=asked)
            kind = str(page.get("kind", "")).removesuffix("List")
            common = {"apiVersion": page.get("apiVersion"), "kind": kind}
            found += [common | item for item in page.get("items") or ()]
            following = page.get("metadata", {}).get("continue")
            if not following:
                return found
            asked["continue"] = following

    async def merge(self, path: str, patch: Manifest) -> Manifest:
        query = {"fieldManager": _FIELD_MANAGER}
        return await self._json("PATCH", path, query=query, body=patch, content_type=MERGE)

    async def create(self, path: str, body: Manifest) -> Manifest:
        return await self._json("POST", path, query={"fieldManager": _FIELD_MANAGER}, body=body)

    async def text(self, path: str) -> str:
        answer = await self._request("GET", path, seconds=_PROXY_SECONDS)
        return answer.decode(errors="replace")

    async def try_out(self, path: str, change: Change) -> Manifest:
        query = {"dryRun": "All", "fieldValidation": "Strict", "fieldManager": change.manager}
        if change.content_type == APPLY:
            query["force"] = "true"
        return await self._json("PATCH", path, query=query, body=change.body, content_type=change.content_type)

    async def _json(self, method: str, path: str, *, body: Manifest | None = None, **options: Any) -> Manifest:
        content = json.dumps(body).encode() if body is not None else None
        answer: Manifest = json.loads(await self._request(method, path, body=content, **options))
        return answer
