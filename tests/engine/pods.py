"""Pods of a fleet with real vLLM in them: the product's own template and supervisor, a tiny model, on loopback.

An engine is started by the command and variables that the operator renders, with what the CPU needs as the fleet's own
`extraArgs` and `env`, and lives again when it ends, as a container does. One starts in 45 s of one core and takes
1.9 GB, so that engines start one after the other and no more than two live.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from heterofleet.api.labels import Tier
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.desired import engine
from supervisor.kubelet import Container, ask
from testbed import exchanges, ports, vllmcpu
from testbed.eventually import eventually
from testbed.exchanges import Answer, Exchange

START_SECONDS: Final = 300.0
_ENVIRONMENT: Final = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "TORCHDYNAMO_DISABLE": "1",
}
"""Without the last the first generation looks for a C++ compiler."""

_ARGUMENTS: Final = ("--enforce-eager", "--kv-cache-memory-bytes", "67108864", "--enable-prompt-tokens-details")


def fleet(models: Path) -> HeterogeneousDeployment:
    """The fleet `chat` of two tiny models, whose engines ask for keys."""
    return HeterogeneousDeployment.parse(
        {
            "apiVersion": "heterofleet.io/v1alpha1",
            "kind": "HeterogeneousDeployment",
            "metadata": {"name": "chat"},
            "spec": {
                "engineKeys": {"secret": "ring"},
                **{tier: _tier(models / tier) for tier in ("large", "small")},
            },
        }
    )


def _tier(model: Path) -> dict[str, Any]:
    return {
        "model": {"source": f"file://{model}"},
        "lifecycle": {"drainTimeoutSeconds": 60},
        "engine": {
            "maxModelLen": 2048,
            "extraArgs": list(_ARGUMENTS),
            "env": [{"name": name, "value": value} for name, value in _ENVIRONMENT.items()],
        },
    }


class EnginePod:
    """One pod; `ring` is the folder of the Secret that it has mounted, `home` holds its output."""

    def __init__(self, fleet: HeterogeneousDeployment, tier: Tier, mounted: Path, home: Path, ring: Path) -> None:
        self.tier = tier
        self.port, supervisor_port = ports.free(2)
        python = vllmcpu.environment() / "bin"
        variables = {
            "PATH": f"{python}{os.pathsep}{os.environ['PATH']}",
            # The tests' own packages are none of vLLM's.
            "PYTHONPATH": "",
            **_values(engine.environment(fleet, tier)),
            "HETEROFLEET_POD_NAME": f"chat-{tier}-0-0",
            "HETEROFLEET_POD_INDEX": "0",
            "HETEROFLEET_KEYS_DIR": str(ring),
            "HETEROFLEET_CACHE_DIR": str(home.parent / "cache"),
            "HETEROFLEET_ENGINE_PORT": str(self.port),
            "HETEROFLEET_SUPERVISOR_PORT": str(supervisor_port),
        }
        # All traffic of tests is loopback's; of arguments that come twice the last one counts.
        own = ["--host", "127.0.0.1", "--port", str(self.port)]
        self.container = Container(mounted, home, [*engine.arguments(fleet, tier), *own], variables)

    def wait_ready(self) -> None:
        """Until its readiness says that it has generated."""
        eventually(lambda: self.container.probe("/ready") == 200, START_SECONDS, self._last_words)

    def ask(self, exchange: Exchange, key: str | None = None) -> Answer:
        return exchanges.ask(self.port, exchange, {} if key is None else {"Authorization": f"Bearer {key}"})

    def metrics(self) -> str:
        return exchanges.ask(self.port, Exchange("/metrics")).body.decode()

    def healthy(self) -> bool:
        return ask(self.port, "/health").status == 200

    def core(self) -> int:
        """The process that computes: a child of the one that serves."""
        return next(pid for pid in _descendants(self.container.engine_pid()) if "EngineCore" in _title(pid))

    def said(self) -> str:
        return self.container.output.read_text(errors="replace")

    def _last_words(self) -> str:
        return f"{json.dumps(self.container.status().get('sentence'))}\n{self.said()[-3000:]}"


def _values(variables: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The variables that have a value of their own; those of the pod's fields are the test's to say."""
    return {variable["name"]: variable["value"] for variable in variables if "value" in variable}


def _descendants(pid: int) -> Iterator[int]:
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield int(child)
        yield from _descendants(int(child))


def _title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
