"""Reads the environment that the operator renders, and completes the command that all ranks share."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from .group import Code, Limits, Over

PREFIX = "HETEROFLEET_"
TERMINATION_LOG = "/dev/termination-log"


@dataclasses.dataclass(frozen=True)
class Settings:
    """One rank's place and limits; seconds and paths. docs/adr/0020 lists the variables."""

    pod: str
    pod_ip: str
    group: str
    pods: int
    index: int
    peers: tuple[tuple[str, int], ...]
    bind: str
    port: int
    engine: tuple[str, int]
    served_model: str
    drain_seconds: float
    keys: Path | None
    source: str
    revision: str
    cache: str
    run_dir: Path
    termination_log: Path
    poll_seconds: float
    limits: Limits


def read(environment: Mapping[str, str]) -> Settings:
    """Parses the environment, or says which variable is wrong."""
    env = {name[len(PREFIX) :]: value for name, value in environment.items() if name.startswith(PREFIX) and value}
    try:
        return _parse(env)
    except KeyError as error:
        raise Over(Code.CONFIGURATION, f"{PREFIX}{error.args[0]} is not set") from error
    except ValueError as error:
        raise Over(Code.CONFIGURATION, f"the environment {PREFIX}* is wrong: {error}") from error


def _parse(env: Mapping[str, str]) -> Settings:
    pods, index, poll = int(env.get("PODS", 1)), int(env.get("POD_INDEX", 0)), float(env.get("POLL_SECONDS", 1))
    if not 0 <= index < pods:
        raise ValueError(f"POD_INDEX {index} lies outside of 0..{pods - 1}")
    pod, pod_ip, port = env["POD_NAME"], env["POD_IP"], int(env.get("SUPERVISOR_PORT", 8001))
    group = env["GROUP_SERVICE"] if pods > 1 else ""
    return Settings(
        pod=pod,
        pod_ip=pod_ip,
        group=group,
        pods=pods,
        index=index,
        peers=_peers(env.get("PEERS"), pod, group, pods, port),
        bind=env.get("BIND", "::" if ":" in pod_ip else "0.0.0.0"),  # noqa: S104 - the kubelet and the peers ask
        port=port,
        engine=(env.get("ENGINE_HOST", "127.0.0.1"), int(env.get("ENGINE_PORT", 8000))),
        served_model=env["SERVED_MODEL"],
        drain_seconds=float(env.get("DRAIN_SECONDS", 300)),
        keys=Path(env["KEYS_DIR"]) if "KEYS_DIR" in env else None,
        source=env.get("MODEL_SOURCE", ""),
        revision=env.get("MODEL_REVISION", "main"),
        cache=env.get("CACHE_DIR", "/cache"),
        run_dir=Path(env.get("RUN_DIR", "/dev/shm")),  # noqa: S108 - in memory, and the pod's own
        termination_log=Path(env.get("TERMINATION_LOG", TERMINATION_LOG)),
        poll_seconds=poll,
        limits=Limits(fresh_seconds=max(3 * poll, 1.0), lost_seconds=float(env.get("PEER_LOST_SECONDS", 15))),
    )


def _peers(listed: str | None, pod: str, group: str, pods: int, port: int) -> tuple[tuple[str, int], ...]:
    stem = pod.rpartition("-")[0]
    addresses = listed.split(",") if listed else [f"{stem}-{peer}.{group}:{port}" for peer in range(pods)]
    if len(addresses) != pods:
        raise ValueError(f"PEERS names {len(addresses)} ranks and PODS says {pods}")
    pairs = (address.rpartition(":") for address in addresses)
    return tuple((host, int(number)) for host, _, number in pairs)


def read_keys(folder: Path | None) -> list[str]:
    """Reads the ring of API keys; `current` comes first, since we ask the engine with the first one."""
    if folder is None:
        return []
    try:
        files = [path for path in folder.iterdir() if not path.name.startswith(".")]
        files.sort(key=lambda path: (path.name != "current", path.name))
        keys = [key for key in (path.read_text().strip() for path in files) if key]
    except (OSError, ValueError) as error:
        raise Over(Code.CONFIGURATION, f"the API keys cannot be read: {error}") from error
    if not keys:
        raise Over(Code.CONFIGURATION, f"{folder} holds no API key: the engine would be open to everyone")
    return keys


def write_keys(path: Path, keys: Sequence[str]) -> None:
    """Writes vLLM's configuration file for its owner's eyes; JSON is YAML. A file that lies there is never reused."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as config:
        json.dump({"api-key": list(keys)}, config)


def command_line(
    command: Sequence[str], settings: Settings, *, model: str | None, leader: str, config: Path | None
) -> list[str]:
    """Adds this rank's own arguments to the command of all ranks; `{model}` becomes the model's folder."""
    line = [model if part == "{model}" and model is not None else part for part in command]
    if config is not None and "--config" in line:
        raise Over(Code.CONFIGURATION, "--config cannot be given: the API keys are handed over by it")
    line += ["--shutdown-timeout", f"{settings.drain_seconds:.0f}"]
    if settings.pods > 1:
        line += ["--nnodes", str(settings.pods), "--node-rank", str(settings.index), "--master-addr", leader]
    if settings.index > 0:
        line += ["--headless"]
    if config is not None:
        line += ["--config", str(config)]
    return line
