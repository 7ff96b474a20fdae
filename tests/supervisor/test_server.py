"""The supervisor's port holds only so many connections, and is free again when they go."""

import contextlib
import socket
from collections.abc import Iterator, Mapping

import pytest

from heterofleet.supervisor import server
from supervisor.kubelet import Answer, ask
from testbed.eventually import eventually


def respond(path: str, query: Mapping[str, str]) -> server.Answer:
    return server.Answer(200, {"path": path, **query})


@pytest.fixture
def port() -> Iterator[int]:
    listening = server.Server(("127.0.0.1", 0), respond)
    yield listening.server_address[1]
    listening.shutdown()
    listening.server_close()


def test_a_question_is_answered_with_its_path_and_query(port: int):
    assert ask(port, "/epoch?from=3") == Answer(200, {"path": "/epoch", "from": "3"})


def test_a_crowd_that_says_nothing_is_bounded_and_leaves_no_trace(port: int):
    with contextlib.ExitStack() as crowd:
        for _ in range(server.THREADS):
            crowd.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        late = crowd.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        assert late.recv(1) == b""
    eventually(lambda: ask(port, "/live") == Answer(200, {"path": "/live"}))
