"""Follows a namespace's pods by watch, to say what was true at every moment and not only when a test looked."""

import contextlib
import json
import ssl
import threading
import urllib.parse
from collections.abc import Callable
from http.client import HTTPSConnection
from typing import Any, Self

from reconcile.site import Site

Pods = dict[str, dict[str, Any]]


class PodWatch:
    """Calls `observe` with all pods of a site, by UID, after each change; keeps the largest number it gave."""

    def __init__(self, site: Site, observe: Callable[[Pods], int]) -> None:
        self._site = site
        self._observe = observe
        self._pods: Pods = {}
        self.most = 0
        self.changes = 0
        self._connection: HTTPSConnection | None = None
        self._thread = threading.Thread(target=self._follow, name="pod watch", daemon=True)

    def __enter__(self) -> Self:
        listed = self._site.cluster.api.get(self._site.path("pods"))
        for pod in listed["items"]:
            self._pods[pod["metadata"]["uid"]] = pod
        self._look()
        self._version = listed["metadata"]["resourceVersion"]
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None and self._connection.sock is not None:
            with contextlib.suppress(OSError):
                self._connection.sock.shutdown(2)
        self._thread.join(10)

    def _follow(self) -> None:
        api = self._site.cluster.api
        trust = ssl.create_default_context(cafile=str(api.authority))
        trust.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if api.certificate is not None:
            trust.load_cert_chain(api.certificate, api.key)
        query = urllib.parse.urlencode({"watch": "1", "resourceVersion": self._version, "timeoutSeconds": "300"})
        connection = self._connection = HTTPSConnection(api.host, api.port, timeout=300, context=trust)
        try:
            connection.request("GET", f"{self._site.path('pods')}?{query}")
            answer = connection.getresponse()
            while line := answer.readline():
                self._take(json.loads(line))
        except (OSError, ValueError):
            return  # The test is over.
        finally:
            connection.close()

    def _take(self, event: dict[str, Any]) -> None:
        pod = event["object"]
        if event["type"] == "DELETED":
            self._pods.pop(pod["metadata"]["uid"], None)
        elif event["type"] in ("ADDED", "MODIFIED"):
            self._pods[pod["metadata"]["uid"]] = pod
        self._look()

    def _look(self) -> None:
        self.changes += 1
        self.most = max(self.most, self._observe(self._pods))
