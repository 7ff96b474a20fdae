"""A router without Kubernetes: its configuration and its engines stand in one YAML file, which is read again when it changes.

The engines are taken for ready; one that does not answer is found out by its breaker and by the probes of idle endpoints.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import yaml

from heterofleet.api.routing import RouterConfig, StaticEndpoint
from heterofleet.router.endpoints import Address, Sighting

_log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.5


def text_as_json_object(text: str) -> Any:
    """What a YAML (or JSON) document holds. Raises ValueError with the place of the fault."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise ValueError(f"not YAML: {exc}") from exc


def sightings(config: RouterConfig) -> list[Sighting]:
    """The engines that a file names."""
    return [Sighting(address(endpoint), endpoint.tier, model=endpoint.model) for endpoint in config.endpoints]


def address(endpoint: StaticEndpoint) -> Address:
    """host and port of `host:port` or `[v6]:port`. Raises ValueError."""
    host, _, port = endpoint.address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) <= 65_535:
        raise ValueError(f"endpoints: {endpoint.address!r} is not host:port")
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
