"""What Argo CD and Flux make of a fleet's conditions, by the expressions of manifests/gitops."""

from typing import Any, NamedTuple

import pytest

from testbed import gitops


class Case(NamedTuple):
    """A state of a fleet: its conditions that are worth a word, and what the two must say."""

    conditions: dict[str, tuple[bool, str, str]]
    argo: tuple[str, str]
    flux: str
    suspend: bool = False
    observed_generation: int = 3


READY = (True, "AllReady", "1 large and 4 small instances are ready")
STARTING = (False, "TierNotReady", "The large tier starts: 0 of 1 instances are ready")

CASES = {
    "not seen by the operator": Case(
        conditions={},
        argo=("Progressing", "The operator has not seen this generation yet"),
        flux="InProgress",
    ),
    "ready, but for an older spec": Case(
        conditions={"Ready": READY},
        argo=("Progressing", "The operator has not seen this generation yet"),
        flux="InProgress",
        observed_generation=2,
    ),
    "starting": Case(
        conditions={"Ready": STARTING, "Reconciling": (True, "Progressing", "1 instance starts")},
        argo=("Progressing", "Progressing: 1 instance starts"),
        flux="InProgress",
    ),
    "not ready and nothing moves": Case(
        conditions={"Ready": STARTING, "Reconciling": (False, "Settled", "")},
        argo=("Progressing", "TierNotReady: The large tier starts: 0 of 1 instances are ready"),
        flux="InProgress",
    ),
    "ready": Case(
        conditions={
            "Accepted": (True, "Valid", ""),
            "Ready": READY,
            "Degraded": (False, "Healthy", ""),
            "Reconciling": (False, "Settled", ""),
            "Stalled": (False, "Settled", ""),
        },
        argo=("Healthy", "AllReady: 1 large and 4 small instances are ready"),
        flux="Current",
    ),
    "serving while it rolls": Case(
        conditions={"Ready": READY, "Reconciling": (True, "Rolling", "1 of 4 small instances is new")},
        argo=("Progressing", "Rolling: 1 of 4 small instances is new"),
        flux="InProgress",
    ),
    "refused while it moves": Case(
        conditions={
            "Accepted": (False, "DoesNotFit", "The large model needs 236 GB"),
            "Ready": STARTING,
            "Reconciling": (True, "Progressing", "1 instance starts"),
        },
        argo=("Degraded", "DoesNotFit: The large model needs 236 GB"),
        flux="Failed",
    ),
    "stalled": Case(
        conditions={
            "Ready": READY,
            "Reconciling": (True, "Rolling", "1 instance is old"),
            "Stalled": (True, "OutageNotAllowed", "Set rollout.allowOutage"),
        },
        argo=("Degraded", "OutageNotAllowed: Set rollout.allowOutage"),
        flux="Failed",
    ),
    "serving with a failed instance": Case(
        conditions={"Ready": READY, "Degraded": (True, "InstanceFailed", "chat-large-1 failed 5 times")},
        argo=("Degraded", "InstanceFailed: chat-large-1 failed 5 times"),
        flux="Current",
    ),
    "suspended before it was ready": Case(
        conditions={"Ready": STARTING, "Reconciling": (True, "Progressing", "1 instance starts")},
        argo=("Suspended", "spec.suspend is true: nothing but the status is written"),
        flux="Current",
        suspend=True,
    ),
    "refused and suspended": Case(
        conditions={"Accepted": (False, "DoesNotFit", "The large model needs 236 GB"), "Ready": STARTING},
        argo=("Degraded", "DoesNotFit: The large model needs 236 GB"),
        flux="Failed",
        suspend=True,
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_argo_cd_and_flux_read_a_fleets_conditions(case: Case) -> None:
    fleet = as_fleet(case)
    assert (tuple(gitops.argo_health(fleet)), gitops.flux_health(fleet)) == (case.argo, case.flux)


def test_argo_cd_waits_for_a_fleet_without_any_status() -> None:
    fleet = as_fleet(CASES["ready"])
    del fleet["status"]
    expected = gitops.Health("Progressing", "The operator has not seen this generation yet")
    assert gitops.argo_health(fleet) == expected


def as_fleet(case: Case) -> dict[str, Any]:
    """A fleet as the API server would return it."""
    conditions = [
        {"type": type_, "status": str(status), "reason": reason, "message": message, "observedGeneration": 3}
        for type_, (status, reason, message) in case.conditions.items()
    ]
    status = {"observedGeneration": case.observed_generation, "conditions": conditions} if conditions else {}
    return {
        "apiVersion": "heterofleet.io/v1alpha1",
        "kind": "HeterogeneousDeployment",
        "metadata": {"name": "chat", "namespace": "default", "generation": 3},
        "spec": {"suspend": case.suspend},
        "status": status,
    }
