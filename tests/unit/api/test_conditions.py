"""A status as it is written to the API server and read back, also by another version of the operator."""

from datetime import UTC, datetime

from cases.reading import SMALLEST
from heterofleet.api.conditions import (
    Condition,
    ConditionType,
    FleetStatus,
    InstanceState,
    InstanceStatus,
    Reason,
)
from heterofleet.api.v1alpha1 import HeterogeneousDeployment

NOW = datetime(2026, 11, 23, 12, 30, 15, 250_000, tzinfo=UTC)


def ready(*, status: bool) -> Condition:
    return Condition(type=ConditionType.READY, status=status, reason=Reason.STARTING, last_transition_time=NOW)


def test_a_condition_is_written_in_kubernetes_words() -> None:
    assert [ready(status=status).to_kubernetes() for status in (True, False)] == [
        {
            "type": "Ready",
            "status": word,
            "reason": "Starting",
            "message": "",
            "observedGeneration": 0,
            "lastTransitionTime": "2026-11-23T12:30:15Z",
        }
        for word in ("True", "False")
    ]


def test_a_status_reads_back_the_same() -> None:
    status = FleetStatus(conditions=[ready(status=True)], large={"instances": [InstanceStatus(index=1, since=NOW)]})
    assert FleetStatus.model_validate(status.to_kubernetes()) == status


def test_unknown_is_not_true() -> None:
    assert Condition.model_validate(ready(status=True).to_kubernetes() | {"status": "Unknown"}).status is False


def test_what_a_newer_version_wrote_into_a_status_is_left_out() -> None:
    status = FleetStatus(conditions=[ready(status=True)])
    newer = status.to_kubernetes()
    newer["conditions"] += [
        ready(status=True).to_kubernetes() | {"type": "Enlightened"},
        ready(status=True).to_kubernetes() | {"type": "Degraded", "reason": "TooWise"},
    ]
    newer["wisdom"] = 7
    body = {**SMALLEST["HeterogeneousDeployment"], "status": newer}
    assert HeterogeneousDeployment.parse(body).status == status


def test_an_instance_in_a_state_of_a_newer_version_keeps_its_restarts() -> None:
    written = InstanceStatus(index=4, restarts=3).to_kubernetes() | {"state": "Meditating"}
    assert InstanceStatus.model_validate(written) == InstanceStatus(index=4, restarts=3, state=InstanceState.STARTING)


def test_a_fleet_that_was_never_reconciled_has_an_empty_status() -> None:
    assert HeterogeneousDeployment.parse(SMALLEST["HeterogeneousDeployment"]).status == FleetStatus()
