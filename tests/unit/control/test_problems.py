"""What is wrong with a fleet, in sentences that help."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from heterofleet.api import labels
from heterofleet.api.conditions import InstanceState, InstanceStatus, LastExit, Reason
from heterofleet.cluster import errors
from heterofleet.cluster.apply import Failure
from heterofleet.cluster.objects import Ref
from heterofleet.cluster.records import Ended, PodRecord
from heterofleet.control import problems
from heterofleet.status import Finding
from unit.cluster import builders

SERVICE = Ref("v1", "Service", "ns", "chat-small")


def pod(name: str, **facts: object) -> PodRecord:
    return replace(PodRecord.of(builders.stored(builders.pod(name), uid=name)), **facts)  # type: ignore[arg-type]  # facts by name


def test_a_name_that_is_taken_says_what_to_do():
    assert problems.name_taken([SERVICE]) == Finding(
        Reason.NAME_TAKEN,
        "Service ns/chat-small exists and is not this fleet's: delete it, or give the fleet another name",
    )


def test_the_api_server_s_own_words_are_quoted_and_admission_is_named():
    failure = Failure(SERVICE, errors.Invalid("spec.ports: Required value", status=422))
    found = problems.of_writes([failure], [SERVICE])
    assert [problem.reason for problem in found] == [Reason.APPLY_FAILED, Reason.MUTATED_BY_ADMISSION]
    assert found[0].message == "Service ns/chat-small: spec.ports: Required value"
    assert problems.of_writes([], []) == ()


def test_the_same_words_of_many_pods_are_said_once():
    missing = {"waiting_reason": "CreateContainerConfigError", "waiting_message": 'secret "hf" not found'}
    pulled = {"waiting_reason": "ErrImagePull", "waiting_message": ""}
    found = problems.of_pods([pod("a", **missing), pod("b", **missing), pod("c", **pulled), pod("d")])
    assert found == [
        Finding(Reason.SECRET_MISSING, 'secret "hf" not found (2 pods)'),
        Finding(Reason.IMAGE_NOT_PULLED, "ErrImagePull"),
    ]


def test_a_group_that_was_given_up_is_told_with_its_cause_and_a_lost_one_by_its_node():
    last = LastExit(exit_code=137, reason="OOMKilled", message="CUDA out of memory")
    failed = InstanceStatus(index=0, state=InstanceState.FAILED, restarts=6, last_exit=last)
    lost = InstanceStatus(index=1, state=InstanceState.LOST)
    found = problems.of_instances([failed, lost, InstanceStatus(index=2, state=InstanceState.READY)])
    assert [problem.reason for problem in found] == [Reason.INSTANCE_FAILED, Reason.NODE_LOST]
    assert "after 6 failures, last with exit code 137 OOMKilled: CUDA out of memory" in found[0].message


def test_a_pod_that_keeps_exiting_is_told_until_it_is_ready_again():
    ended = Ended(3, "Error", "x" * 500 + "the last line", None)
    exited = pod("a", restart_count=2, last_ended=ended)
    sentence = problems.restarting([exited, pod("b")])
    assert sentence.startswith("pod a restarts (2 so far, exit code 3 Error: x")
    assert sentence.endswith("the last line)")
    assert len(sentence) < 600
    assert problems.restarting([replace(exited, ready=True)]) == ""


def test_a_new_revision_that_ends_again_and_again_is_told_with_its_cause():
    ended = Ended(1, "Error", "the engine ended by itself with code 1: ValueError: no weights\nTraceback", None)
    facts = {"last_ended": ended, "labels": {labels.REVISION: "new"}}
    stuck = pod("a", restart_count=2, **facts)
    others = [
        pod("b", restart_count=1, **facts),
        replace(stuck, ready=True),
        replace(stuck, labels={labels.REVISION: "old"}),
        replace(stuck, deleting_since=stuck.created),
    ]
    assert problems.of_roll([stuck, *others], "new") == [
        Finding(
            Reason.ROLL_STUCK,
            "the roll stops at pod a, which has ended 2 times, last with exit code 1 Error: the engine ended by itself"
            " with code 1: ValueError: no weights. The old ones serve on: mend the spec, or take it back",
        )
    ]


def test_a_missing_secret_shows_in_a_pod_that_waits_for_its_volumes() -> None:
    created = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    waiting = pod("a", scheduled=True, mounted=False)
    late = created + timedelta(seconds=30)
    assert problems.of_mounts([waiting, pod("b")], ["keys", "redis"], late, "router: ") == [
        Finding(
            Reason.SECRET_MISSING,
            "router: a pod waits for its volumes: is there a Secret keys and a Secret redis?",
        )
    ]
    assert problems.of_mounts([waiting], ["keys"], late - timedelta(seconds=1)) == []
    assert problems.of_mounts([waiting], [], late) == []
    assert problems.of_mounts([pod("a", mounted=False), pod("b", scheduled=True)], ["keys"], late) == []
