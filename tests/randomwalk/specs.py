"""Random small fleets and random edits of them: pure, from a seeded dice.

Everything is small (1 GPU to 4 a pod, groups of 1 to 4 pods, 0 to 3 instances, 0 to 6 small pods) and quick (drains
of seconds), so that dozens of steps play in seconds; what a fleet may be is not: every field that decides between
two ways of the operator is drawn.
"""

from random import Random

from randomwalk.actions import Manifest
from testbed.nodes import A100

LAYOUTS = ((1, 1, 1), (2, 1, 2), (1, 2, 1), (2, 2, 2), (1, 3, 1), (1, 4, 1), (4, 1, 4))
"""tensor, pipeline, GPUs a pod: groups of 1, 1, 2, 2, 3, 4 and 1 pods."""
MODELS = ("hf://Qwen/Qwen3-8B", "hf://Qwen/Qwen3-4B")
TOO_BIG = "hf://Qwen/Qwen3-235B-A22B"
CLAIM = "weights"
"""A bound ReadWriteMany claim that every walk's namespace has."""
START_UP = "pod-ready.stage.kwok.x-k8s.io/delay"
TERMINATION = "testbed.heterofleet.io/termination-delay"

CACHES: tuple[Manifest, ...] = (
    {"emptyDir": {}},
    {"hostPath": {"path": "/var/cache/models"}},
    {"persistentVolumeClaim": {"claimName": CLAIM}},
)


def fleet(dice: Random, selector: dict[str, str]) -> Manifest:
    """The spec of a new fleet whose pods go to the nodes of `selector`."""
    return {
        "large": _tier(dice, selector, most=3, large=True),
        "small": _tier(dice, selector, most=6, large=False),
        "router": {
            "instances": {"min": dice.choice((0, 1, 2))},
            # A router on another walk's machine would go with it.
            "podTemplate": {"spec": {"nodeSelector": selector}},
        },
        "scaling": {
            "gpuBudget": _budget(dice),
            "large": {"writer": _writer(dice)},
            "small": {"writer": _writer(dice)},
            "overrideSeconds": dice.choice((2, 6, 3600)),
        },
        "rollout": {"allowOutage": dice.random() < 0.5},
    }


def edit(dice: Random) -> Manifest:
    """A merge patch of a spec; now and then one that the server or the operator refuses."""
    tier = dice.choice(("large", "small"))
    most = 3 if tier == "large" else 6
    choices: tuple[tuple[int, Manifest], ...] = (
        (6, {tier: {"instances": instances(dice, most)}}),
        (2, {"large": {"parallelism": layout(dice)}}),
        (2, {tier: {"engine": {"maxNumSeqs": dice.randint(8, 64)}}}),
        (2, {tier: {"model": {"source": dice.choice(MODELS)}}}),
        (1, {tier: {"model": {"source": TOO_BIG}}}),
        (4, {"scaling": {"gpuBudget": _budget(dice)}}),
        (2, {"scaling": {tier: {"writer": _writer(dice)}}}),
        (1, {"scaling": {"overrideSeconds": dice.choice((2, 6, 3600))}}),
        (2, {"suspend": dice.random() < 0.4}),
        (1, {tier: {"lifecycle": {"drainTimeoutSeconds": dice.choice((0, 1, 4))}}}),
        (1, {"large": {"lifecycle": {"maxGroupRestarts": dice.choice((0, 1, 3))}}}),
        (2, {"router": {"instances": {"min": dice.choice((0, 1, 2))}}}),
        (1, {"router": {"image": f"router:{dice.randint(1, 9)}"}}),
        (1, {"router": {"service": {"port": dice.randint(8000, 8100)}}}),
        (1, {tier: {"placement": {"capacity": dice.choice(("Fixed", "Elastic"))}}}),
        (2, {"rollout": {"allowOutage": dice.random() < 0.5}}),
        (2, {tier: {"podTemplate": _overlay(dice)}}),
        (1, {tier: {"podTemplate": {"status": {}}}}),
        (1, {tier: {"instances": {"min": 5, "max": 1}}}),
        (1, {"monitoring": {"labels": {"release": f"r{dice.randint(1, 9)}"}}}),
    )
    weights = [weight for weight, _ in choices]
    return dice.choices([patch for _, patch in choices], weights)[0]


def mended(spec: Manifest) -> Manifest:
    """The merge patch that makes any fleet of this module acceptable, affordable and free to move."""
    patch: Manifest = {
        "suspend": False,
        "scaling": {"gpuBudget": 200},
        "rollout": {"allowOutage": True},
        "large": {},
        "small": {},
    }
    for tier in ("large", "small"):
        if spec[tier]["model"]["source"] == TOO_BIG:
            patch[tier]["model"] = {"source": MODELS[0]}
        if "status" in (spec[tier].get("podTemplate") or {}):
            patch[tier]["podTemplate"] = None
    return patch


def instances(dice: Random, most: int) -> Manifest:
    """Bounds of a count; `max` is always said, since a patch would leave an old one below a new min."""
    low = dice.choices((0, 1, 2, most), (2, 5, 3, 1))[0]
    return {
        "min": low,
        "max": dice.choice((None, low, low + 1, most)) if low <= most else None,
        "warm": dice.choices((0, 1), (4, 1))[0],
    }


def layout(dice: Random) -> Manifest:
    tensor, pipeline, gpus = dice.choice(LAYOUTS)
    return {"tensor": tensor, "pipeline": pipeline, "gpusPerPod": gpus}


def _tier(dice: Random, selector: dict[str, str], *, most: int, large: bool) -> Manifest:
    told: Manifest = {
        "model": {"source": dice.choice(MODELS)},
        "instances": {key: value for key, value in instances(dice, most).items() if value is not None},
        "placement": {
            "nodeSelector": selector,
            "gpuProduct": A100,
            "capacity": dice.choices(("Fixed", "Elastic"), (3, 1))[0],
        },
        "storage": {"cache": dice.choice(CACHES)},
        "lifecycle": {
            "drainTimeoutSeconds": dice.choice((0, 1, 4)),
            "nodeLostSeconds": 10,
        },
    }
    if large:
        told["lifecycle"] |= {
            "maxGroupRestarts": dice.choice((0, 1, 3)),
            "evacuateAfterSeconds": dice.choice((0, 2, 6)),
        }
        told["placement"]["gangTimeoutSeconds"] = 10
        told["parallelism"] = layout(dice)
    if dice.random() < 0.5:
        told["podTemplate"] = _overlay(dice)
    if dice.random() < 0.5:
        told["price"] = {"usdPerGpuHour": 2.5}
    return told


def _overlay(dice: Random) -> Manifest:
    """Pods that take a while to start, and to stop."""
    marks = {START_UP: dice.choice(("0s", "300ms", "1s", "2s"))}
    if dice.random() < 0.5:
        marks[TERMINATION] = dice.choice(("1s", "3s"))
    return {"metadata": {"annotations": marks}}


def _budget(dice: Random) -> int | None:
    return dice.choice((None, 2, 4, 6, 8, 12, 20))


def _writer(dice: Random) -> str:
    return dice.choices(("Planner", "External"), (3, 1))[0]
