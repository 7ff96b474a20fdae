"""The real router's process in front of the real engines."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI
from prometheus_client.parser import text_string_to_metric_families

from engine.conftest import Engines
from router.routerprocess import RouterProcess
from router.running import PRICES
from router.wire import connected


class EngineRouter(RouterProcess):
    """A router of one endpoint a tier, which does not probe unless `policy` says so."""

    def __init__(self, folder: Path, engines: Engines, **policy: Any) -> None:
        said = {
            "fleet": "chat",
            "large": {"servedName": "chat-large", "price": PRICES["large"]},
            "small": {"servedName": "chat-small", "price": PRICES["small"]},
            "endpoints": [
                {"address": f"127.0.0.1:{pod.port}", "tier": str(pod.tier)} for pod in (engines.large, engines.small)
            ],
            "policy": {"breaker": {"probeIdleSeconds": 0}, **policy},
        }
        self.log = folder / "access.jsonl"
        super().__init__(folder, said, "--engine-keys", str(engines.ring), "--access-log", str(self.log))

    def client(self) -> AsyncOpenAI:
        """The official client, with a key that is none of the engines'."""
        return AsyncOpenAI(base_url=f"http://127.0.0.1:{self.port}/v1", api_key="a-clients-own-key", max_retries=0)

    async def metrics(self, name: str) -> dict[str, float]:
        """The values of one metric, by tier or endpoint."""
        async with connected(self.metrics_port) as wire:
            wire.send(b"GET /metrics HTTP/1.1\r\nhost: router\r\nconnection: close\r\n\r\n")
            await wire.head()
            text = (await wire.reader.read()).decode()
        return {
            _place(sample.labels): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == f"heterofleet_router_{name}"
        }

    def lines(self) -> list[dict[str, Any]]:
        """The access log."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def _place(labels: Mapping[str, str]) -> str:
    return labels.get("endpoint") or ",".join(
        value for name, value in sorted(labels.items()) if name not in ("namespace", "fleet")
    )
