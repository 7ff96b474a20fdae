"""The router's process: what its arguments and environment say.

In a cluster the operator gives --namespace and --fleet, and everything else comes from the fleet's ConfigMap; alone it
is --config FILE. Where the process listens and what it mounts differ between installations, not between fleets.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from heterofleet.router import classify
from heterofleet.router.classify import InvalidWeights, Weights

KEYS: Final = Path("/etc/heterofleet/keys")
ENGINE_KEYS: Final = Path("/etc/heterofleet/engine-keys")
STORE_PASSWORD: Final = Path("/etc/heterofleet/store")
STORE_FOLDER: Final = Path("/var/lib/heterofleet")


class Misused(Exception):
    """Arguments that cannot be followed; the text says what to write instead."""


@dataclass(frozen=True)
class Settings:
    """How this process runs. `config` None: in a cluster, for `fleet` in `namespace`."""

    config: Path | None = None
    namespace: str = "default"
    fleet: str = ""
    host: str = ""
    port: int | None = None
    metrics_host: str = ""
    metrics_port: int | None = None
    access_log: str = "-"
    audit_log: str | None = None
    log_format: str = "json"
    weights: Path | None = None
    keys: Path = KEYS
    engine_keys: Path = ENGINE_KEYS
    store_password: Path = STORE_PASSWORD
    store_folder: Path = STORE_FOLDER
    linger_seconds: float = 3.0
    drain_seconds: float = 300.0

    def classifier(self) -> Weights:
        """The weights of the classifier: the shipped ones unless others are named. Raises Misused."""
        if self.weights is None:
            return classify.shipped()
        try:
            return Weights.parse(self.weights.read_bytes())
        except OSError as exc:
            raise Misused(f"--weights {self.weights}: {exc.strerror}") from exc
        except InvalidWeights as exc:
            raise Misused(f"--weights {self.weights}: {exc}") from exc


def parse(arguments: Sequence[str] | None = None) -> Settings:
    """Raises Misused; argparse itself ends the process with 2 for what it does not know."""
    found = vars(_parser().parse_args(arguments))
    settings = Settings(**{name: value for name, value in found.items() if value is not None})
    if settings.config is None and not settings.fleet:
        raise Misused("say --config FILE to run alone, or --namespace and --fleet to run for a fleet of a cluster")
    if settings.config is not None and settings.fleet:
        raise Misused("--config and --fleet exclude each other: a fleet's configuration is in its ConfigMap")
    return settings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="heterofleet-router",
        description="Sends every request to the cheapest tier that answers it well (OpenAI-compatible).",
    )
    add = parser.add_argument
    add("--config", type=Path, help="YAML file with configuration and engines, for a router without Kubernetes")
    add("--namespace", help="the fleet's namespace")
    add("--fleet", help="the fleet's name")
    add("--host", help="address to listen on; all unless given")
    add("--port", type=int, help="port to listen on; the configuration's unless given")
    add("--metrics-host", help="address of the metrics port; all unless given")
    add("--metrics-port", type=int, help="port of /metrics, /config and the probes; the configuration's unless given")
    add("--access-log", help="file of the access log; - is standard output (default), none switches it off")
    add("--audit-log", help="file of the compliance rules' decisions; they go into the access log unless given")
    add("--log-format", choices=("json", "text"), help="form of the process's own log, on standard error")
    add("--weights", type=Path, help="the classifier's weights, from heterofleet train-classifier; the shipped ones"
        " unless given")  # fmt: skip
    add("--keys", type=Path, help=f"folder of the clients' keys, a file a tenant ({KEYS})")
    add("--engine-keys", type=Path, help=f"folder of the ring of the engines' keys ({ENGINE_KEYS})")
    add("--store-password", type=Path, help=f"file or folder with the store's password ({STORE_PASSWORD})")
    add("--store-folder", type=Path, help=f"folder of the file store, the volume of store.file ({STORE_FOLDER})")
    add("--linger-seconds", type=float, help="time to serve on after SIGTERM, until nothing new comes (3)")
    add("--drain-seconds", type=float, help="longest time for running requests after that (300)")
    return parser
