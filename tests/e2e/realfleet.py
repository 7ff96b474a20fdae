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
    "HOME": "/tmp",  # noqa: S108  inside of a container
}
_ARGUMENTS: Final = ("--enforce-eager", "--kv-cache-memory-bytes", "67108864")


class Mounts:
    """What engines have mounted from this machine: vLLM's environment, a command that starts it, and models."""

    def __init__(self, folder: Path) -> None:
        self.models = folder / "models"
        models.make(self.models)
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


def manifest(mounts: Mounts) -> Manifest:
    large = _tier(mounts, "large")
    large |= {
        "lifecycle": {**large["lifecycle"], "maxGroupRestarts": 8},
        "parallelism": {"tensor": 2, "gpusPerPod": 1},
        "placement": {"affinity": _APART},
    }
    return {
        "apiVersion": "heterofleet.io/v1alpha1",
        "kind": "HeterogeneousDeployment",
        "metadata": {"name": FLEET, "namespace": NAMESPACE},
        "spec": {"large": large, "small": _tier(mounts, "small"), "router": _ROUTER},
    }


def text(mounts: Mounts) -> str:
    """The fleet as `kubectl apply` takes it."""
    return json.dumps(manifest(mounts))


def source(model: str) -> str:
    """The source of a model by the name of its folder."""
    return f"file://{_MODELS}/{model}"


def _tier(mounts: Mounts, model: str) -> Manifest:
    return {
        "model": {"source": source(model)},
        "instances": {"min": 1, "max": 3},
        "lifecycle": {"drainTimeoutSeconds": 120, "startupTimeoutSeconds": 600},
        "engine": {
            "image": images.tag("engine"),
            "maxModelLen": 2048,
            "sharedMemory": "512Mi",
            "extraArgs": list(_ARGUMENTS),
            "env": [{"name": name, "value": value} for name, value in _ENVIRONMENT.items()],
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
