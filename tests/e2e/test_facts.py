"""How a look at status is judged, and what a client's answer counts as; no cluster is needed for either."""

import pytest

from e2e import clients
from e2e.clients import Kind
from e2e.facts import Watch, differing

STATUS = {
    "endpoint": "http://played-router.played.svc:8080/v1",
    "large": {"ready": 1, "desired": 1},
    "small": {"ready": 1, "desired": 1},
    "conditions": [{"type": kind, "status": "True"} for kind in ("LargeTierReady", "SmallTierReady", "RouterReady")],
}


def pod(part: str, *, ready: bool = True, state: str = "serving", going: bool = False):
    found = {"heterofleet.io/state": state, **({} if part == "router" else {"heterofleet.io/tier": part})}
    conditions = [{"type": "Ready", "status": str(ready)}]
    deleted = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if going else {}
    return {"metadata": {"labels": found, **deleted}, "status": {"conditions": conditions}}


def test_a_status_that_says_what_is_differs_in_nothing():
    assert differing(STATUS, [pod("large"), pod("small"), pod("router")]) == {}


@pytest.mark.parametrize("small", [{"ready": False}, {"state": "draining"}, {"going": True}])
def test_a_pod_that_does_not_serve_is_a_fact(small):
    assert differing(STATUS, [pod("large"), pod("small", **small), pod("router")]) == {
        "small.ready": "1 is said, 0 is so",
        "small condition": "True is said, False is so",
    }


def test_only_what_is_told_wrongly_for_longer_than_five_seconds_is_a_lie():
    watch = Watch()
    for at in (0.0, 1.0, 5.0):
        watch.look({"small.ready": "2 is said, 1 is so"}, at)
    assert watch.lies == []
    watch.look({"small.ready": "2 is said, 1 is so"}, 5.5)
    assert watch.lies == ["5.5 s: small.ready: 2 is said, 1 is so"]


def test_a_fact_that_moves_on_and_a_time_without_anybody_to_write_begin_anew():
    watch = Watch()
    watch.look({"small.ready": "2 is said, 1 is so"}, 0.0)
    watch.look({"small.ready": "2 is said, 0 is so"}, 4.0)
    watch.look({"small.ready": "2 is said, 0 is so"}, 8.0)
    watch.miss()
    for at in (12.0, 16.0, 17.0, 22.0):
        watch.look({"small.ready": "2 is said, 0 is so"}, at)
    assert (watch.lies, watch.looks, watch.blind, watch.longest_seconds) == ([], 5, 3, 5.0)


@pytest.mark.parametrize(
    ("status", "body", "stream", "kind"),
    [
        (200, b'{"choices": [{"finish_reason": "stop"}]}', False, Kind.ANSWERED),
        (200, b'{"choices": []}', False, Kind.NOT_WHOLE),
        (503, b'{"error": {"message": "no engine"}}', False, Kind.REFUSED),
        (200, b'data: {"choices": [{"finish_reason": "stop"}]}\n\ndata: [DONE]\n\n', True, Kind.ANSWERED),
        (200, b'data: {"choices": [{"finish_reason": "stop"}]}\n\n', True, Kind.NOT_WHOLE),
        (200, b'data: {"error": {"message": "the engine went"}}\n\n', True, Kind.CUT_OFF),
        (200, b"", True, Kind.NOT_WHOLE),
    ],
)
def test_an_answer_counts_only_where_it_is_whole(status: int, body: bytes, stream: bool, kind: Kind):
    assert clients.judged(status, body, stream=stream)[0] is kind
