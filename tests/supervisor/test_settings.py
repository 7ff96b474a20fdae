"""From the rendered environment to a rank's place, and to the command that it runs."""

from pathlib import Path

import pytest

from heterofleet.supervisor import settings
from heterofleet.supervisor.group import Limits, Over

RENDERED = {
    "HETEROFLEET_POD_NAME": "chat-large-3-1",
    "HETEROFLEET_POD_IP": "10.0.0.7",
    "HETEROFLEET_PODS": "2",
    "HETEROFLEET_POD_INDEX": "1",
    "HETEROFLEET_GROUP_SERVICE": "chat-large-3.team.svc",
    "HETEROFLEET_SERVED_MODEL": "chat-large",
    "HETEROFLEET_DRAIN_SECONDS": "120",
    "HETEROFLEET_MODEL_SOURCE": "hf://org/model",
}


def test_a_rendered_rank_knows_its_place():
    assert settings.read(RENDERED) == settings.Settings(
        pod="chat-large-3-1",
        pod_ip="10.0.0.7",
        group="chat-large-3.team.svc",
        pods=2,
        index=1,
        peers=(("chat-large-3-0.chat-large-3.team.svc", 8001), ("chat-large-3-1.chat-large-3.team.svc", 8001)),
        bind="0.0.0.0",  # noqa: S104  the value under test
        port=8001,
        engine=("127.0.0.1", 8000),
        served_model="chat-large",
        drain_seconds=120,
        keys=None,
        source="hf://org/model",
        revision="main",
        cache="/cache",
        run_dir=Path("/dev/shm"),  # noqa: S108  the value under test
        termination_log=Path("/dev/termination-log"),
        poll_seconds=1,
        limits=Limits(fresh_seconds=3, lost_seconds=15),
    )


def test_a_pod_with_an_ipv6_address_listens_there():
    assert settings.read({**RENDERED, "HETEROFLEET_POD_IP": "fd00::7"}).bind == "::"


def test_a_list_of_peers_of_another_length_is_refused():
    with pytest.raises(Over, match="PEERS names 1 ranks and PODS says 2"):
        settings.read({**RENDERED, "HETEROFLEET_PEERS": "127.0.0.1:1"})


COMMON = ("vllm", "serve", "{model}", "--port", "8000")


def line(index: str, pods: str = "2", config: Path | None = None) -> list[str]:
    place = settings.read({**RENDERED, "HETEROFLEET_PODS": pods, "HETEROFLEET_POD_INDEX": index})
    return settings.command_line(COMMON, place, model="/cache/m", leader="10.0.0.6", config=config)


def test_the_common_command_gets_what_is_a_rank_s_own():
    served = ["vllm", "serve", "/cache/m", "--port", "8000", "--shutdown-timeout", "120"]
    group = ["--nnodes", "2", "--node-rank"]
    assert line("0", pods="1") == served
    assert line("0") == [*served, *group, "0", "--master-addr", "10.0.0.6"]
    assert line("1") == [*served, *group, "1", "--master-addr", "10.0.0.6", "--headless"]
    assert line("0", pods="1", config=Path("/x.yaml")) == [*served, "--config", "/x.yaml"]
