"""The fleet `played` on simulated engines in containers, in a namespace that enforces the restricted standard."""

import json
from typing import Any, Final

from testbed import images

Manifest = dict[str, Any]

NAMESPACE: Final = "played"
FLEET: Final = "played"
TOKEN: Final = "hub-token"
"""The Secret that the small tier's model needs, and which is not there at first."""
LARGE: Final = 2
SMALL: Final = 2
ROUTERS: Final = 2
RESTRICTED: Final = {"pod-security.kubernetes.io/enforce": "restricted"}

# A folder of the image that passes for a model's: a simulated engine reads no weights.
_MODEL: Final = "/opt/heterofleet/lib/python3.11/site-packages/heterofleet/simulate/data"
_REQUESTS: Final = {"cpu": "10m", "memory": "32Mi"}
_USER: Final = {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532}


def text() -> str:
    """The fleet as `kubectl apply` takes it."""
    large = _tier("large", LARGE) | {"model": {"source": f"file://{_MODEL}"}}
    small = _tier("small", SMALL)
    small["model"] = {"source": "hf://played/small", "tokenSecret": {"name": TOKEN, "key": "token"}}
    # The token is asked for as for any model of the hub, which cannot be reached from here.
    mounted = {"name": "HETEROFLEET_MODEL_SOURCE", "value": f"file://{_MODEL}"}
    small["podTemplate"]["spec"]["containers"] = [{"name": "engine", "env": [mounted]}]
    return json.dumps(
        {
            "apiVersion": "heterofleet.io/v1alpha1",
            "kind": "HeterogeneousDeployment",
            "metadata": {"name": FLEET, "namespace": NAMESPACE},
            "spec": {
                "large": large,
                "small": small,
                "router": {"instances": {"min": ROUTERS}, "resources": {"requests": _REQUESTS}},
            },
        }
    )


def token() -> Manifest:
    return {"metadata": {"name": TOKEN, "namespace": NAMESPACE}, "stringData": {"token": "hf_played"}}


def _tier(tier: str, count: int) -> Manifest:
    played = {"name": "ENGINE_SIM_ARGUMENTS", "value": f"--profile tiny-{tier}"}
    return {
        "instances": {"min": count},
        "lifecycle": {"drainTimeoutSeconds": 60},
        "engine": {"image": images.tag("engine-sim"), "maxModelLen": 8192, "sharedMemory": "64Mi", "env": [played]},
        "resources": {"requests": _REQUESTS},
        "placement": {"affinity": {"podAntiAffinity": _apart(tier)}},
        "podTemplate": {"spec": {"securityContext": _USER}},
    }


def _apart(tier: str) -> Manifest:
    """On two nodes where there are two, so that the loss of one leaves each tier an instance."""
    selector = {"matchLabels": {"heterofleet.io/fleet": FLEET, "heterofleet.io/tier": tier}}
    term = {"labelSelector": selector, "topologyKey": "kubernetes.io/hostname"}
    return {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]}
