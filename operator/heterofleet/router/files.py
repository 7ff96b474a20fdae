"""A router without Kubernetes: configuration, plan and engines stand in one YAML file, read again when it changes.

An engine is taken for ready unless it is said to be draining; one that does not answer is found out by its breaker and
by the probes of idle endpoints.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson
import yaml

from heterofleet.api.routing import RouterConfig
from heterofleet.router.endpoints import Address, Sighting

_log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.5


PLAN: Final = "plan"
"""Where a file says what the operator's plan.json says in a cluster."""


def documents(text: str) -> tuple[str, str]:
    """config.json and plan.json of a YAML (or JSON) document. Raises ValueError with the place of the fault."""
    try:
        said = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise ValueError(f"not YAML: {exc}") from exc
    except RecursionError as exc:
        raise ValueError("nested too deep to be read") from exc
    # A file without a plan takes back what the former one planned.
    plan = said.pop(PLAN, None) if isinstance(said, dict) else None
    return _json(said), _json({} if plan is None else plan)


def _json(said: Any) -> str:
    try:
        return orjson.dumps(said).decode()
    except TypeError as exc:
        raise ValueError(f"not what JSON can say: {exc}") from exc


def sightings(config: RouterConfig) -> list[Sighting]:
    """The engines that a file names."""
    return [
        Sighting(address(endpoint.address), endpoint.tier, draining=endpoint.draining, model=endpoint.model)
        for endpoint in config.endpoints
    ]


def address(text: str) -> Address:
    """host and port of `host:port` or `[v6]:port`. Raises ValueError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) <= 65_535:
        raise ValueError(f"endpoints: {text!r} is not host:port")
    return Address(host.removeprefix("[").removesuffix("]"), int(port))


async def follow(path: Path, changed: Callable[[str], None]) -> None:
    """Calls `changed` with the file's text at once and at each change, until it is cancelled."""
    last: str | None = None
    while True:
        try:
            text = await asyncio.to_thread(path.read_text)
        except (OSError, UnicodeDecodeError) as exc:
            if last is None:
                raise
            _log.warning("%s cannot be read, its last text stays in force: %s", path, exc)
        else:
            if text != last:
                last = text
                changed(text)
        await asyncio.sleep(LOOK_SECONDS)
