"""Serves custom.metrics.k8s.io to a played cluster, so that a real HorizontalPodAutoscaler has something to read.

The API server asks aggregated APIs through their Service. One of type ExternalName leads it to this process on
loopback: no pod, no proxy and no endpoint controller is needed. The serving certificate is one that kwokctl made.
"""

import json
import ssl
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

from heterofleet.api import labels
from testbed.controlplane import Cluster
from testbed.eventually import eventually

GROUP: Final = "custom.metrics.k8s.io"
VERSION: Final = "v1beta2"
_BASE: Final = f"/apis/{GROUP}/{VERSION}"
_SERVICES: Final = "/api/v1/namespaces/kube-system/services"
_API_SERVICES: Final = "/apis/apiregistration.k8s.io/v1/apiservices"
_NAME: Final = "testbed-custom-metrics"


class CustomMetrics:
    """The API while the block lasts; `values` holds (tier object, metric) -> value, for every namespace."""

    def __init__(self, cluster: Cluster) -> None:
        self.values: dict[tuple[str, str], int] = {}
        self._api = cluster.api
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.values))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cluster.folder / "pki" / "admin.crt", cluster.folder / "pki" / "admin.key")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        port = self._server.server_address[1]
        self._api.create(
            _SERVICES,
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": _NAME},
                "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
            },
        )
        self._api.create(
            _API_SERVICES,
            {
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": f"{VERSION}.{GROUP}"},
                "spec": {
                    "group": GROUP,
                    "version": VERSION,
                    "groupPriorityMinimum": 100,
                    "versionPriority": 100,
                    "insecureSkipTLSVerify": True,
                    "service": {"namespace": "kube-system", "name": _NAME, "port": port},
                },
            },
        )
        eventually(self._available, 30, "the API server takes the custom metrics API for available")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._api.delete(f"{_API_SERVICES}/{VERSION}.{GROUP}")
        self._api.delete(f"{_SERVICES}/{_NAME}")
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _available(self) -> bool:
        found = self._api.get(f"{_API_SERVICES}/{VERSION}.{GROUP}")
        conditions = found.get("status", {}).get("conditions", ())
        return any(item["type"] == "Available" and item["status"] == "True" for item in conditions)


def _handler(values: dict[tuple[str, str], int]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = json.dumps(_answer(self.path.partition("?")[0], values)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    return Handler


def _answer(path: str, values: dict[tuple[str, str], int]) -> dict[str, Any]:
    resource = f"{labels.TIER_PLURAL}.{labels.GROUP}"
    match path.removeprefix(_BASE).strip("/").split("/"):
        case ["namespaces", namespace, found, name, metric] if found == resource:
            return {
                "kind": "MetricValueList",
                "apiVersion": f"{GROUP}/{VERSION}",
                "metadata": {},
                "items": [_value(namespace, name, metric, values.get((name, metric), 0))],
            }
        case _:
            return {
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": f"{GROUP}/{VERSION}",
                "resources": [
                    {
                        "name": f"{resource}/{metric}",
                        "singularName": "",
                        "namespaced": True,
                        "kind": "MetricValueList",
                        "verbs": ["get"],
                    }
                    for metric in sorted({metric for _, metric in values})
                ],
            }


def _value(namespace: str, name: str, metric: str, value: int) -> dict[str, Any]:
    return {
        "describedObject": {
            "kind": labels.TIER_KIND,
            "namespace": namespace,
            "name": name,
            "apiVersion": labels.API_VERSION,
        },
        "metric": {"name": metric},
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "value": str(value),
    }
