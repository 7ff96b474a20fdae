"""Which instance gets a request, and where the request waits until there is one."""

from enum import StrEnum

from pydantic import Field

from heterofleet.api.base import Model


class Affinity(Model):
    """How a conversation finds the large instance that has its beginning in its prefix cache."""

    min_prompt_characters: int = Field(
        512, ge=0, le=1_000_000, description="Prompts that are shorter go to the instance with the least load."
    )
    block_characters: int = Field(
        512, ge=64, le=65_536, description="Length of the blocks of a prompt by which conversations are told apart."
    )
    load_bound: float = Field(
        1.25,
        ge=1.0,
        le=10,
        description="An instance takes no more than this times the mean load for the sake of its cache.",
    )


class PlanOverflow(StrEnum):
    WAIT = "Wait"
    DEGRADE = "Degrade"
    REFUSE = "Refuse"


class Queue(Model):
    """Where requests wait when every instance of their tier is full, or none is ready yet."""

    max_requests: int = Field(
        1000, ge=0, le=100_000, description="Requests that may wait for a tier at once, in each router."
    )
    plan_deadline_seconds: float = Field(60, ge=0.001, le=3600, description="Longest wait of a plan request.")
    act_deadline_seconds: float = Field(30, ge=0.001, le=3600, description="Longest wait of an act request.")
    when_plan_overflows: PlanOverflow = Field(
        PlanOverflow.WAIT,
        description="What becomes of a plan request that finds the large tier full: Wait, Degrade (the small tier"
        " answers, and the response says so) or Refuse.",
    )
    spill_over: bool = Field(
        True,
        description="Let idle instances of the large tier answer act requests for which the small tier is full. Where"
        " no instance of it works, fallback.largeForSmall decides.",
    )


class BreakerPolicy(Model):
    """When an instance gets no more requests for a while."""

    failures: int = Field(5, ge=1, le=1000, description="Failures in a row that open the breaker of an instance.")
    open_seconds: float = Field(
        60, ge=0.001, le=3600, description="How long it stays open before one request tries again."
    )
    probe_idle_seconds: float = Field(
        60,
        ge=0,
        le=86_400,
        description="An instance that has had no request for so long is asked for one token; 0 switches it off.",
    )
