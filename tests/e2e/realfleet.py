"""The fleet `chat` on real vLLM: two tiers of tiny models, of which the large one is cut over two pods on two nodes.

Engines run the image of Debian's Python; vLLM, which weighs 2 GB, is mounted from the environment in the cache, and so
are the models. Nothing but a fleet's own fields says so: `engine.env`, `extraArgs` and the podTemplate's overlay.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from testbed import vllmcpu

Manifest = dict[str, Any]

NAMESPACE: Final = "models"
FLEET: Final = "chat"
ENGINE_IMAGE: Final = "ghcr.io/heterofleet/engine:0.3.0"
_SITE: Final = "/opt/vllm/lib/python3.11/site-packages"
_COMMANDS: Final = "/opt/commands"
_MODELS: Final = "/models"

_ENVIRONMENT: Final[Mapping[str, str]] = {
    "PATH": f"{_COMMANDS}:/usr/local/bin:/usr/bin:/bin",
    "PYTHONPATH": _SITE,
    "PYTHONDONTWRITEBYTECODE": "1",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    # Without it the first generation looks for a C++ compiler.
    "TORCHDYNAMO_DISABLE": "1",
    "HOME": "/tmp",
}
_ARGUMENTS: Final = ("--enforce-eager", "--kv-cache-memory-bytes", "67108864")


class Mounts:
    """What engines have mounted from this machine: vLLM's environment, a command that starts it, and models."""

    def __init__(self, folder: Path) -> None:
        self.models = folder / "models"
        self._commands = folder / "commands"
        self._environment = vllmcpu.environment()
        self._commands.mkdir(parents=True)
        # The environment's own command starts the Python of this machine, which the image does not have.
        command = self._commands / "vllm"
        command.write_text('#!/bin/sh\nexec python3 -m vllm.entrypoints.cli.main "$@"\n')
        command.chmod(0o755)

    def overlay(self) -> Manifest:
        """The podTemplate that mounts them."""
        places = {"vllm": (self._environment, "/opt/vllm"), "commands": (self._commands, _COMMANDS)}
        places["models"] = (self.models, _MODELS)
        mounts = [{"name": name, "mountPath": path, "readOnly": True} for name, (_, path) in places.items()]
        volumes = [{"name": name, "hostPath": {"path": str(source)}} for name, (source, _) in places.items()]
        return {"spec": {"containers": [{"name": "engine", "volumeMounts": mounts}], "volumes": volumes}}


def manifest(mounts: Mounts, **spec: Any) -> Manifest:
    """The fleet; `spec` is laid over its spec, key by key."""
    large = _tier(mounts, "large")
    large |= {
        "lifecycle": {**large["lifecycle"], "maxGroupRestarts": 3},
        "parallelism": {"tensor": 2, "gpusPerPod": 1},
        "placement": {"affinity": _APART},
    }
    return {
        "apiVersion": "heterofleet.io/v1alpha1",
        "kind": "HeterogeneousDeployment",
        "metadata": {"name": FLEET, "namespace": NAMESPACE},
        "spec": {"large": large, "small": _tier(mounts, "small"), "router": _ROUTER, **spec},
    }


def source(model: str) -> str:
    """The source of a model by the name of its folder."""
    return f"file://{_MODELS}/{model}"


def _tier(mounts: Mounts, model: str) -> Manifest:
    return {
        "model": {"source": source(model)},
        "instances": {"min": 1, "max": 3},
        "lifecycle": {"drainTimeoutSeconds": 120, "startupTimeoutSeconds": 600},
        "engine": {
            "image": ENGINE_IMAGE,
            "maxModelLen": 2048,
            "sharedMemory": "512Mi",
            "extraArgs": list(_ARGUMENTS),
            "env": [{"name": name, "value": value} for name, value in _ENVIRONMENT.items()],
        },
        # A node here offers what the machine has, to several engines at once.
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "5Gi"}},
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
}
