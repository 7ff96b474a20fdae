"""One pod's life around any command: what the kubelet, and through it the operator, gets to see of its end."""

import os
import sys
from pathlib import Path

import pytest

from supervisor import kubelet
from supervisor.conftest import MakeContainer
from testbed.eventually import eventually

WAIT_FOR_EVER = "import signal; signal.pause()"


def first_exit(container: kubelet.Container) -> int:
    return eventually(lambda: [*container.exits])[0]


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


@pytest.mark.parametrize(("program", "code"), [("exit(2)", 2), ("import os; os.abort()", 134), ("exit(0)", 94)])
def test_the_engine_s_exit_is_the_container_s_and_an_end_unasked_is_a_failure(make_container, program, code):
    container = make_container(*python(program))
    assert first_exit(container) == code


def test_the_termination_message_is_the_cause_and_the_last_lines_the_kubelet_keeps(make_container: MakeContainer):
    program = (
        "import sys\n"
        "for i in range(400): print(f'INFO {i} ' + 'ä' * 50, file=sys.stderr)\n"
        "print('loading 1 %\\rloading 100 %', file=sys.stderr)\n"
        "exit('ValueError: no GPU')\n"
    )
    container = make_container(*python(program))
    assert first_exit(container) == 1
    first, *_, progress, last = container.message().splitlines()
    assert (first, progress, last) == (
        "the engine ended by itself with code 1: ValueError: no GPU",
        "loading 100 %",
        "ValueError: no GPU",
    )
    assert 3800 < len(container.message().encode()) < 4096


def test_output_passes_unchanged_and_whole(make_container: MakeContainer):
    container = make_container(
        *python("import os; os.write(1, bytes(range(32, 127)) * 40000 + b'no newline'); exit(3)")
    )
    assert first_exit(container) == 3
    assert bytes(range(32, 127)) * 40000 + b"no newline" in container.output.read_bytes()


def test_nothing_of_a_dead_engine_stays_behind(make_container: MakeContainer, tmp_path: Path):
    program = (
        "import os, signal\n"
        "if os.fork() == 0:\n"
        f"    open({str(tmp_path / 'orphan')!r}, 'w').write(str(os.getpid()))\n"
        "    signal.pause()\n"
        f"while not os.path.exists({str(tmp_path / 'orphan')!r}): pass\n"
        "exit(5)\n"
    )
    container = make_container(*python(program))
    assert first_exit(container) == 5
    orphan = int(eventually((tmp_path / "orphan").read_text))
    container.destroy()

    def gone() -> bool:
        state = Path(f"/proc/{orphan}/stat")
        return not state.exists() or state.read_text().split()[2] == "Z"

    eventually(gone)


def test_an_engine_that_ignores_sigterm_is_killed_in_time(make_container: MakeContainer):
    program = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(99)"
    )
    container = make_container(*python(program))
    eventually(lambda: "up\n" in container.output.read_text())
    engine = container.engine_pid()
    container.delete()
    assert container.wait_deleted() == 0
    assert not os.path.exists(f"/proc/{engine}")  # noqa: PTH110 - not a file


def test_a_later_life_tells_of_the_former_one(make_container: MakeContainer, tmp_path: Path):
    seen = str(tmp_path / "seen")
    once = f"import os\nif not os.path.exists({seen!r}): open({seen!r}, 'w'); exit(7)\n"
    container = make_container(*python(once + WAIT_FOR_EVER))
    eventually(lambda: container.status().get("lives") == 2 and container.status()["phase"] == "starting")
    assert container.status()["last_exit"] == {"code": 7, "cause": "the engine ended by itself with code 7"}


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"pods": "two"}, "the environment HETEROFLEET_* is wrong: invalid literal for int() with base 10: 'two'"),
        ({"pods": "2"}, "HETEROFLEET_GROUP_SERVICE is not set"),
        ({"pod_index": "3"}, "the environment HETEROFLEET_* is wrong: POD_INDEX 3 lies outside of 0..0"),
        ({"served_model": ""}, "HETEROFLEET_SERVED_MODEL is not set"),
    ],
)
def test_a_wrong_environment_is_named(make_container, variables, sentence):
    container = make_container("true", **variables)
    assert first_exit(container) == 64
    assert container.message() == sentence


def test_an_empty_ring_of_keys_does_not_open_the_engine_to_everyone(make_container: MakeContainer, tmp_path: Path):
    ring = tmp_path / "ring"
    ring.mkdir()
    container = make_container("true", keys_dir=str(ring))
    assert first_exit(container) == 64
    assert container.message() == f"{ring} holds no API key: the engine would be open to everyone"


def test_a_command_that_is_not_there_is_named(make_container: MakeContainer):
    container = make_container("no-such-engine")
    assert first_exit(container) == 127
    assert container.message().startswith("no-such-engine cannot be run: ")


def test_keys_and_a_configuration_of_one_s_own_exclude_each_other(make_container: MakeContainer, tmp_path: Path):
    (tmp_path / "ring").mkdir()
    (tmp_path / "ring" / "current").write_text("a")
    container = make_container("true", "--config", "mine.yaml", keys_dir=str(tmp_path / "ring"))
    assert first_exit(container) == 64
    assert container.message() == "--config cannot be given: the API keys are handed over by it"
