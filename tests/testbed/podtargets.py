"""Tells a Prometheus of the pods of a played cluster, with the labels that Kubernetes discovery gives its targets.

Debian builds Prometheus without that discovery. So this lists the pods each second and writes a file of targets, from
which the product's own jobs (`desired.scraping`) then choose and relabel, as they would from the API server.
"""

import contextlib
import json
import threading
from pathlib import Path
from typing import Any, Final, Self

from heterofleet.api import labels
from heterofleet.desired import scraping
from heterofleet.desired.monitoring import meta_label
from testbed.api import Api, ApiError

Manifest = dict[str, Any]

EVERY_SECONDS: Final = 1.0


class PodTargets:
    """Writes `file` while the block lasts; `jobs` are the scrape configurations that read it."""

    def __init__(self, api: Api, file: Path) -> None:
        self._api, self._file = api, file
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pod targets", daemon=True)

    @property
    def jobs(self) -> list[Manifest]:
        return scraping.jobs({"file_sd_configs": [{"files": [str(self._file)], "refresh_interval": "1s"}]})

    def __enter__(self) -> Self:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text("[]", "utf-8")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(EVERY_SECONDS):
            # While the API server is away Prometheus keeps the targets that it knows, as it would by itself.
            with contextlib.suppress(ApiError, OSError):
                pods = self._api.items("/api/v1/pods", labelSelector=labels.FLEET)
                self._write([target for pod in pods for target in targets(pod)])

    def _write(self, found: list[Manifest]) -> None:
        text = json.dumps(found)
        if text != self._file.read_text("utf-8"):
            fresh = self._file.with_suffix(".new")
            fresh.write_text(text, "utf-8")
            fresh.rename(self._file)


def targets(pod: Manifest) -> list[Manifest]:
    """One target for each named port of a pod that has an address."""
    address, metadata = pod.get("status", {}).get("podIP"), pod["metadata"]
    if not address:
        return []
    common = {
        "__meta_kubernetes_namespace": metadata["namespace"],
        "__meta_kubernetes_pod_name": metadata["name"],
        "__meta_kubernetes_pod_phase": pod["status"].get("phase", ""),
        **{meta_label(name): value for name, value in metadata.get("labels", {}).items()},
    }
    return [
        {
            "targets": [f"{address}:{port['containerPort']}"],
            "labels": {**common, "__meta_kubernetes_pod_container_port_name": port.get("name", "")},
        }
        for container in pod["spec"]["containers"]
        for port in container.get("ports", ())
    ]
