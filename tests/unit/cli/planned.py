"""A fleet whose plan has something to tell, for the pictures of `explain` and `top`."""

from typing import Any

from heterofleet.api.labels import Manifest
from unit.cli import stored

BUDGET = "scaling.gpuBudget 80 is below the 108 GPUs wanted: 2 of 3"
LARGE = f"at most 6600 work tokens/s are forecast within 415 s: 3 at 2400 each; {BUDGET}"
SMALL = "at most 13000 work tokens/s are forecast within 160 s: 12 at 1200 each"


def decision(tier: str, before: int, after: int, bound: str, message: str, **more: Any) -> Manifest:
    return {
        "at": stored.ago(minutes=4),
        "tier": tier,
        "before": before,
        "after": after,
        "bound": bound,
        "message": message,
        **more,
    }


RAISED = decision(
    "small", 9, 12, "Forecast", SMALL,
    forecastTokensPerSecond=13000, waitingTokens=5000, capacityTokensPerSecond=1200, ready=9, usdPerHour="+6.60",
)  # fmt: skip
LOWERED = decision(
    "large", 3, 2, "GpuBudget", LARGE,
    forecastTokensPerSecond=6600, capacityTokensPerSecond=2400, ready=3, usdPerHour="-70.40",
)  # fmt: skip


def fleet(*decisions: Manifest, status: Manifest | None = None, **scaling: Any) -> Manifest:
    """A large tier that its GPU budget holds, a small one that follows its forecast."""
    planned = {
        "large": {"instances": 2, "need": 3, "bound": "GpuBudget", "message": LARGE},
        "small": {"instances": 12, "need": 12, "bound": "Forecast", "message": SMALL},
        "usdPerHour": "167.20",
    }
    return stored.fleet(
        "chat",
        {
            "observedGeneration": 3,
            "conditions": [stored.condition("Ready", True, "AllReady")],
            "plan": planned,
            "cost": {"savingsRatio": "0.62", "usdPerHour": "167.20"},
            "decisions": list(decisions),
            **(status or {}),
        },
        large={
            "model": {"source": "hf://Qwen/Qwen3-235B-A22B-Instruct-2507"},
            "parallelism": {"tensor": 8, "pipeline": 4, "expertParallel": True},
            "instances": {"min": 1, "max": 3},
            "price": {"usdPerGpuHour": 2.2},
        },
        small={
            "model": {"source": "hf://Qwen/Qwen3-4B-Instruct-2507"},
            "instances": {"min": 2, "max": 24},
            "price": {"usdPerGpuHour": 2.2},
        },
        scaling={"gpuBudget": 80, **scaling},
    )
