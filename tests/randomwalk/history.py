"""What happened in a walk's namespace, in the order of the store: every state of every object, and who asked for it.

A watch of each kind over the whole cluster feeds the histories of all walks. The API server gives every change a
number of one sequence (the resourceVersion), the deletion included, so events of different kinds are put in their
true order afterwards, whatever order they arrived in; the rules judge that order when the walk is over.
"""

import contextlib
import http.client
import json
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

from testbed.controlplane import Cluster

Manifest = dict[str, Any]

WATCHED = {
    "Pod": "/api/v1/pods",
    "Service": "/api/v1/services",
    "ConfigMap": "/api/v1/configmaps",
    "StatefulSet": "/apis/apps/v1/statefulsets",
    "Deployment": "/apis/apps/v1/deployments",
    "ControllerRevision": "/apis/apps/v1/controllerrevisions",
    "PodDisruptionBudget": "/apis/policy/v1/poddisruptionbudgets",
    "HeterogeneousDeployment": "/apis/heterofleet.io/v1alpha1/heterogeneousdeployments",
}
SILENCE_SECONDS = 240


class Event(NamedTuple):
    """One state of one object; `change` is ADDED, MODIFIED or DELETED, `seen` the wall clock when it arrived."""

    version: int
    kind: str
    change: str
    name: str
    uid: str
    body: Manifest
    seen: float

    @property
    def labels(self) -> dict[str, str]:
        found: dict[str, str] = self.body["metadata"].get("labels") or {}
        return found

    def summary(self) -> str:
        """One line for a person who looks for what went wrong."""
        metadata, spec, status = self.body["metadata"], self.body.get("spec") or {}, self.body.get("status") or {}
        facts = {
            "deleting": "deletionTimestamp" in metadata or None,
            "state": self.labels.get("heterofleet.io/state"),
            "node": spec.get("nodeName"),
            "phase": status.get("phase"),
            "ready": [c["status"] for c in status.get("conditions", ()) if c["type"] == "Ready"] or None,
            "replicas": spec.get("replicas"),
            "budget": (spec.get("scaling") or {}).get("gpuBudget"),
            "generation": metadata.get("generation"),
            "observed": status.get("observedGeneration"),
            "owner": [owner["name"] for owner in metadata.get("ownerReferences", ())] or None,
        }
        told = " ".join(f"{key}={value}" for key, value in facts.items() if value is not None)
        when = datetime.fromtimestamp(self.seen, UTC).isoformat(timespec="milliseconds")
        return f"{self.version} {when} {self.change} {self.kind} {self.name} {self.uid[:8]} {told}"


class Deed(NamedTuple):
    """Something that the walk itself did to named objects, for telling its doing from the operator's."""

    at: float
    what: str
    fleet: str
    names: frozenset[str]


@dataclass
class History:
    """One namespace's events and the walk's own deeds."""

    events: list[Event] = field(default_factory=list)
    deeds: list[Deed] = field(default_factory=list)

    def ordered(self) -> list[Event]:
        """Every event once, in the store's order."""
        unique = {(event.kind, event.uid, event.version, event.change): event for event in list(self.events)}
        return sorted(unique.values(), key=lambda event: event.version)


class Observatory:
    """Watches a cluster for as long as it is open."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._histories: defaultdict[str, History] = defaultdict(History)
        self._closing = threading.Event()
        self._connections: dict[str, http.client.HTTPSConnection] = {}
        self._threads = [
            threading.Thread(target=self._watch, args=(kind, path), name=f"watch {kind}", daemon=True)
            for kind, path in WATCHED.items()
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        for connection in list(self._connections.values()):
            with contextlib.suppress(OSError, AttributeError):
                connection.sock.shutdown(2)
        for thread in self._threads:
            thread.join(10)

    def of(self, namespace: str) -> History:
        return self._histories[namespace]

    def forget(self, namespace: str) -> None:
        self._histories.pop(namespace, None)

    def _watch(self, kind: str, path: str) -> None:
        version, present = "", dict[str, Manifest]()
        while not self._closing.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException, json.JSONDecodeError, KeyError):
                if not version:
                    version = self._list(kind, path, present)
                for change, body in self._stream(kind, path, version):
                    if change == "ERROR":
                        version = ""
                        break
                    version = body["metadata"]["resourceVersion"]
                    if change != "BOOKMARK":
                        self._note(kind, change, body, present)
            self._closing.wait(0.1)

    def _list(self, kind: str, path: str, present: dict[str, Manifest]) -> str:
        """What exists now; what went while nobody watched is noted as gone by now."""
        with self._request(f"{kind} list", path) as response:
            listed = json.loads(response.read())
        if response.status != 200:
            raise http.client.HTTPException(f"{response.status} for {path}")
        version: str = listed["metadata"]["resourceVersion"]
        found = {item["metadata"]["uid"]: item for item in listed["items"]}
        for uid in present.keys() - found.keys():
            gone = present[uid]
            gone["metadata"]["resourceVersion"] = version
            self._note(kind, "DELETED", gone, present)
        for uid, item in found.items():
            known = uid in present
            if not known or present[uid]["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"]:
                self._note(kind, "MODIFIED" if known else "ADDED", item, present)
        return version

    def _note(self, kind: str, change: str, body: Manifest, present: dict[str, Manifest]) -> None:
        metadata = body["metadata"]
        metadata.pop("managedFields", None)
        if change == "DELETED":
            present.pop(metadata["uid"], None)
        else:
            present[metadata["uid"]] = body
        version = int(metadata["resourceVersion"])
        event = Event(version, kind, change, metadata["name"], metadata["uid"], body, time.time())
        self._histories[metadata["namespace"]].events.append(event)

    def _stream(self, kind: str, path: str, version: str) -> Iterator[tuple[str, Manifest]]:
        query = f"?watch=1&allowWatchBookmarks=true&timeoutSeconds={SILENCE_SECONDS - 40}&resourceVersion={version}"
        with self._request(kind, path + query) as response:
            if response.status == 410:
                yield "ERROR", {}
            if response.status != 200:
                raise http.client.HTTPException(f"{response.status} for {path}")
            while line := response.readline():
                event = json.loads(line)
                yield event["type"], event["object"]

    @contextlib.contextmanager
    def _request(self, key: str, path: str) -> Iterator[http.client.HTTPResponse]:
        api = self._cluster.api
        trust = ssl.create_default_context(cafile=str(api.authority))
        trust.verify_flags &= ~ssl.VERIFY_X509_STRICT
        trust.load_cert_chain(str(api.certificate), str(api.key))
        connection = http.client.HTTPSConnection(api.host, api.port, timeout=SILENCE_SECONDS, context=trust)
        self._connections[key] = connection
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            try:
                yield response
            finally:
                response.close()
        finally:
            connection.close()
