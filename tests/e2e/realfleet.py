"""The fleet `chat` on real vLLM: two tiers of tiny models, of which the large one is cut over two pods on two nodes.

Engines run the image of Debian's Python; vLLM, which weighs 2 GB, is mounted from the environment in the cache, and so
are the models. Nothing but a fleet's own fields says so: `engine.env`, `extraArgs` and the podTemplate's overlay.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from e2e import models
from testbed import images, vllmcpu

Manifest = dict[str, Any]

NAMESPACE: Final = "models"
FLEET: Final = "chat"
_SITE: Final = "/opt/vllm/lib/python3.11/site-packages"
_COMMANDS: Final = "/opt/commands"
_STUCK: Final = f"{_COMMANDS}/stuck"
_MODELS: Final = "/models"

_ENVIRONMENT: Final[Mapping[str, str]] = {
    "PATH": f"{_COMMANDS}:/usr/local/bin:/usr/bin:/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    # Without it the first generation looks for a C++ compiler.
    "TORCHDYNAMO_DISABLE": "1",
    "HOME": "/tmp",  # noqa: S108  inside of a container
}
_STUCK_PLUGIN: Final[Mapping[str, str]] = {
    "stuck.py": """import time
from vllm.v1.engine.core import EngineCore

def register():
    EngineCore.step = EngineCore.step_with_batch_queue = lambda *_: time.sleep(3600)
""",
    "stuck-1.dist-info/METADATA": "Name: stuck\nVersion: 1\n",
    "stuck-1.dist-info/entry_points.txt": "[vllm.general_plugins]\nstuck = stuck:register\n",
}
"""A plugin of vLLM with which an engine comes up, is healthy, and generates nothing."""

_ARGUMENTS: Final = ("--enforce-eager", "--kv-cache-memory-bytes", "67108864")


class Mounts:
    """What engines have mounted from this machine: vLLM's environment, commands and plugins of it, and models.

    `cache` is the folder into which the small tier brings models from the hub.
    """

    def __init__(self, folder: Path) -> None:
        self.models = folder / "models"
        models.make(self.models)
        self.cache = folder / "cache"
        self.cache.mkdir()
        self._commands = folder / "commands"
        self._environment = vllmcpu.environment()
        self._commands.mkdir(parents=True)
        # The environment's own command starts the Python of this machine, which the image does not have.
        command = self._commands / "vllm"
        command.write_text('#!/bin/sh\nexec python3 -m vllm.entrypoints.cli.main "$@"\n')
        command.chmod(0o755)
        for name, text in _STUCK_PLUGIN.items():
            file = self._commands / "stuck" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    def overlay(self) -> Manifest:
        """The podTemplate that mounts them."""
        places = {"vllm": (self._environment, "/opt/vllm"), "commands": (self._commands, _COMMANDS)}
        places["models"] = (self.models, _MODELS)
        mounts = [{"name": name, "mountPath": path, "readOnly": True} for name, (_, path) in places.items()]
        volumes = [{"name": name, "hostPath": {"path": str(source)}} for name, (source, _) in places.items()]
        return {"spec": {"containers": [{"name": "engine", "volumeMounts": mounts}], "volumes": volumes}}


def manifest(mounts: Mounts, hub: str) -> Manifest:
    """The fleet; `hub` is the URL of the hub that it knows."""
    large, small = _tier(mounts, "large", hub), _tier(mounts, "small", hub)
    small["storage"] = {"cache": {"hostPath": {"path": str(mounts.cache)}}}
    large |= {
        "lifecycle": {**large["lifecycle"], "maxGroupRestarts": 8},
        "parallelism": {"tensor": 2, "gpusPerPod": 1},
        "placement": {"affinity": _APART},
    }
    return {
        "apiVersion": "heterofleet.io/v1alpha1",
        "kind": "HeterogeneousDeployment",
        "metadata": {"name": FLEET, "namespace": NAMESPACE},
        "spec": {"large": large, "small": small, "router": _ROUTER},
    }


def text(mounts: Mounts, hub: str) -> str:
    """The fleet as `kubectl apply` takes it."""
    return json.dumps(manifest(mounts, hub))


def mounted(model: str) -> str:
    """The source of a model by the name of its folder."""
    return f"file://{_MODELS}/{model}"


def of_hub(model: str) -> str:
    """The same model from the hub."""
    return f"hf://hub/{model}"


def environment(hub: str, *, stuck: bool = False) -> list[Manifest]:
    """The environment of engines; with `stuck` they generate nothing."""
    path = f"{_SITE}:{_STUCK}" if stuck else _SITE
    named = {**_ENVIRONMENT, "PYTHONPATH": path, "HF_ENDPOINT": hub}
    return [{"name": name, "value": value} for name, value in named.items()]


def _tier(mounts: Mounts, model: str, hub: str) -> Manifest:
    return {
        "model": {"source": mounted(model)},
        "instances": {"min": 1, "max": 3},
        "lifecycle": {"drainTimeoutSeconds": 120, "startupTimeoutSeconds": 600},
        "engine": {
            "image": images.tag("engine"),
            "maxModelLen": 2048,
            "sharedMemory": "512Mi",
            "extraArgs": list(_ARGUMENTS),
            "env": environment(hub),
        },
        # A node here offers what the machine has, to several engines at once.
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "4Gi"}},
        "podTemplate": mounts.overlay(),
    }


_APART: Final[Manifest] = {
    "podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {
                "labelSelector": {"matchLabels": {"heterofleet.io/fleet": FLEET, "heterofleet.io/tier": "large"}},
                # Ranks of the same instance keep apart, those of another one may be beside them.
                "matchLabelKeys": ["heterofleet.io/instance"],
                "topologyKey": "kubernetes.io/hostname",
            }
        ]
    }
}
_ROUTER: Final[Manifest] = {
    "instances": {"min": 1},
    "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
    # An engine that does nothing is told from a slow one sooner than where models are large.
    "limits": {"firstByteSeconds": 10},
    "breaker": {"failures": 2, "openSeconds": 5, "probeIdleSeconds": 5},
}
