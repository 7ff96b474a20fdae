"""A group of ranks on loopback: it starts, breaks, heals and drains as one, with nobody but the kubelet around."""

import os
import signal
from http import HTTPStatus

from supervisor.conftest import MakeGroup
from supervisor.kubelet import ask
from testbed.eventually import eventually


def test_a_group_starts_when_its_last_rank_is_there_and_each_rank_knows_its_place(make_group: MakeGroup):
    group = make_group(3)
    group.start(0, 1)
    eventually(lambda: group.ranks[0].status().get("sentence") == "waiting: rank 2 does not answer")
    assert [group.ranks[0].probe(path) for path in ("/startup", "/ready", "/live")] == [503, 503, 200]
    group.start(2)
    members = group.wait_serving()
    assert list(members) == ["0", "1", "2"]
    own = [rank.engine_arguments()[-9:] for rank in group.ranks.values()]
    common = ["--shutdown-timeout", "20", "--nnodes", "3", "--node-rank"]
    assert own == [
        [str(group.engine_port), *common, "0", "--master-addr", "127.0.0.1"],
        [*common, "1", "--master-addr", "127.0.0.1", "--headless"],
        [*common, "2", "--master-addr", "127.0.0.1", "--headless"],
    ]


def test_a_dead_worker_restarts_the_whole_group_once(make_group: MakeGroup):
    group = make_group(4)
    group.start(0, 1, 2, 3)
    before = group.wait_serving()
    os.kill(group.ranks[2].engine_pid(), signal.SIGKILL)
    after = group.wait_serving(lives=2)
    assert group.exits() == [[92], [92], [137], [92]]
    assert set(before.values()).isdisjoint(after.values())
    assert [rank.message().splitlines()[0] for rank in group.ranks.values()] == [
        "rank 2 is over",
        "rank 0 is over",
        "the engine ended by itself with code 137",
        "rank 0 is over",
    ]


def test_a_leader_that_vanishes_takes_its_workers_along_once(make_group: MakeGroup):
    group = make_group(3)
    group.start(0, 1, 2)
    group.wait_serving()
    group.ranks[0].crash()
    group.wait_serving(lives=2)
    assert group.exits() == [[137], [90], [90]]


def test_a_worker_whose_container_vanishes_takes_the_group_along_once(make_group: MakeGroup):
    group = make_group(3)
    group.start(0, 1, 2)
    group.wait_serving()
    group.ranks[1].crash()
    group.wait_serving(lives=2)
    assert group.exits() == [[90], [137], [92]]


def test_workers_leave_a_leader_that_stands_still_and_it_joins_them_when_it_wakes(make_group: MakeGroup):
    group = make_group(2)
    group.start(0, 1)
    group.wait_serving()
    group.ranks[0].signal(signal.SIGSTOP)
    eventually(lambda: group.ranks[1].exits == [91])
    group.ranks[0].signal(signal.SIGCONT)
    group.wait_serving(lives=2)
    assert group.exits() == [[90], [91]]


def test_a_silent_worker_takes_the_leader_out_of_the_endpoints_only_while_it_is_silent(make_group: MakeGroup):
    group = make_group(2)
    group.start(0, 1)
    group.wait_serving()
    group.ranks[1].signal(signal.SIGSTOP)
    silent = {"phase": "serving", "sentence": "rank 1 does not answer"}
    eventually(lambda: ask(group.ranks[0].port, "/ready").body == silent)
    group.ranks[1].signal(signal.SIGCONT)
    group.wait_serving()
    assert group.exits() == [[], []]


def test_a_leader_told_to_stop_ends_its_requests_while_its_workers_stay(make_group: MakeGroup):
    group = make_group(2)
    group.start(0, 1)
    group.wait_serving()
    group.set_engine(token_seconds=0.1)
    stream = group.stream(tokens=40)
    group.ranks[0].delete()
    eventually(lambda: group.ranks[0].probe("/ready") == HTTPStatus.SERVICE_UNAVAILABLE)
    served_on = ask(group.engine_port, "/v1/completions", {"model": "model", "prompt": "late", "max_tokens": 1})
    assert served_on.status == HTTPStatus.OK, "routers have not seen the deletion yet"
    refused = {"model": "model", "prompt": "too late", "max_tokens": 1}
    eventually(lambda: ask(group.engine_port, "/v1/completions", refused).status == HTTPStatus.INTERNAL_SERVER_ERROR)
    assert (stream.runs(), group.ranks[1].exits) == (True, [])
    assert stream.tokens() == 40
    assert group.ranks[0].wait_deleted() == 0
    eventually(lambda: group.ranks[1].exits == [92])


def test_a_worker_told_to_stop_lets_the_leader_end_its_requests_first(make_group: MakeGroup):
    group = make_group(2)
    group.start(0, 1)
    group.wait_serving()
    group.set_engine(token_seconds=0.1)
    stream = group.stream(tokens=35)
    group.ranks[1].delete()
    assert stream.tokens() == 35
    assert group.ranks[1].wait_deleted() == 0
    eventually(lambda: group.ranks[0].exits == [92])
    assert group.ranks[0].message() == "rank 1 was told to stop"


def test_a_group_that_is_deleted_goes_whole(make_group: MakeGroup):
    group = make_group(3)
    group.start(0, 1, 2)
    group.wait_serving()
    for rank in group.ranks.values():
        rank.delete()
    assert [rank.wait_deleted() for rank in group.ranks.values()] == [0, 0, 0]


def test_ranks_that_wait_for_others_stop_at_once(make_group: MakeGroup):
    group = make_group(2)
    group.start(0)
    eventually(lambda: group.phases() == ["waiting-for-peers"])
    group.ranks[0].delete()
    assert group.ranks[0].wait_deleted() == 0


def test_an_engine_that_is_healthy_but_cannot_generate_is_never_ready(make_group: MakeGroup):
    group = make_group(1, "--testbed-cannot-generate")
    group.start(0)
    eventually(lambda: "answered 500" in group.ranks[0].status().get("sentence", ""))
    assert ask(group.engine_port, "/health").status == HTTPStatus.OK
    assert [group.ranks[0].probe(path) for path in ("/startup", "/ready", "/live")] == [503, 503, 200]
    group.set_engine(can_generate=True)
    group.wait_serving()
    assert group.ranks[0].probe("/startup") == HTTPStatus.OK


def test_an_unhealthy_engine_is_out_of_the_endpoints_while_it_is(make_group: MakeGroup):
    group = make_group(1)
    group.start(0)
    group.wait_serving()
    group.set_engine(healthy=False)
    eventually(lambda: group.ranks[0].probe("/ready") == HTTPStatus.SERVICE_UNAVAILABLE)
    assert group.ranks[0].probe("/startup") == HTTPStatus.OK
    group.set_engine(healthy=True)
    group.wait_serving()


def test_api_keys_reach_the_engine_in_a_file_of_the_owner_only(make_group: MakeGroup, tmp_path):
    ring = tmp_path / "ring"
    ring.mkdir()
    (ring / "next").write_text("key-b\n")
    (ring / "current").write_text("key-a\n")
    (ring / "..data").mkdir()
    group = make_group(1, keys_dir=str(ring))
    group.start(0)
    group.wait_serving()
    config = group.ranks[0].home / "heterofleet-engine.yaml"
    assert (oct(config.stat().st_mode & 0o777), config.read_text()) == ("0o600", '{"api-key": ["key-a", "key-b"]}')
    assert group.ranks[0].engine_arguments()[-2:] == ["--config", str(config)]
    tried = [ask(group.engine_port, "/v1/models", headers={"Authorization": f"Bearer {key}"}) for key in ("key-b", "x")]
    assert [answer.status for answer in tried] == [200, 401]
    assert "key-a" not in group.ranks[0].output.read_text()
