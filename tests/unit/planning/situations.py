"""Situations for the tests of the plan: large instances of 8 GPUs, small ones of 1, each of 100 work tokens/s."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from heterofleet.api.labels import Tier
from heterofleet.api.routing import RequestClass
from heterofleet.api.v1alpha1 import FleetSpec
from heterofleet.planning.situation import ClassLoad, Forecast, Memory, Situation, TierNow

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def spec(
    scaling: Mapping[str, Any] | None = None,
    *,
    large: Mapping[str, Any] | None = None,
    small: Mapping[str, Any] | None = None,
    budget: Mapping[str, Any] | None = None,
    router: Mapping[str, Any] | None = None,
    **more: Any,
) -> FleetSpec:
    """A fleet with 0 to 100 instances a tier, priced at 2 USD a GPU hour, without stabilisation unless given.

    `scaling` and `more` are fields of its scaling.
    """
    return FleetSpec.model_validate(
        {
            "large": {
                "model": {"source": "hf://Qwen/Qwen3-235B-A22B"},
                "parallelism": {"tensor": 8},
                "instances": {"min": 0, "max": 100} | dict(large or {}),
                "price": {"usdPerGpuHour": 2},
            },
            "small": {
                "model": {"source": "hf://Qwen/Qwen3-4B"},
                "instances": {"min": 0, "max": 100} | dict(small or {}),
                "price": {"usdPerGpuHour": 2},
            },
            "scaling": {"stabilizationSeconds": 0, "spillOver": False} | dict(scaling or {}) | more,
            "budget": dict(budget or {}),
            "router": dict(router or {}),
        }
    )


def load(expected: float, margin: float = 0.0, waiting: float = 0.0, offered: float | None = None) -> ClassLoad:
    """A class whose upper forecast is `margin` above the expected one."""
    forecast = Forecast(expected, expected + margin, 300, "ewma", 1.0, 1440)
    return ClassLoad(forecast, expected if offered is None else offered, waiting)


LOST = ClassLoad(None, None)


def large(count: int, **facts: Any) -> TierNow:
    return replace(TierNow(count, count, 100.0, 300.0, 8, usd_per_gpu_hour=2.0), **facts)


def small(count: int, **facts: Any) -> TierNow:
    return replace(TierNow(count, count, 100.0, 60.0, 1, usd_per_gpu_hour=2.0), **facts)


def situation(
    fleet: FleetSpec,
    *,
    large: TierNow,
    small: TierNow,
    plan: ClassLoad,
    act: ClassLoad,
    now: datetime = NOW,
    memory: Memory | None = None,
    **facts: Any,
) -> Situation:
    return Situation(
        fleet,
        now,
        {Tier.LARGE: large, Tier.SMALL: small},
        {RequestClass.PLAN: plan, RequestClass.ACT: act},
        memory=memory or Memory(),
        **facts,
    )


def counts(plan: Any) -> tuple[int, int]:
    """Large and small instances of a plan."""
    return plan.tiers[Tier.LARGE].count, plan.tiers[Tier.SMALL].count
