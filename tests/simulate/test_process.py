"""`heterofleet engine-sim` as a process: what it says, what it takes, how it ends."""

import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from heterofleet.cli import main


@contextmanager
def engine(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running engine and its address."""
    start = "import sys; from heterofleet.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", start, "engine-sim", "--served-model-name", "small", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.fullmatch(r"engine-sim: listening on (http://127\.0\.0\.1:\d+)\n", said)
        assert found is not None, said
        try:
            yield process, found[1]
        finally:
            process.kill()


def asked(url: str, body: bytes) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(f"{url}/v1/completions", data=body)) as response:
        found: bytes = response.read()
        return found


def test_sigterm_lets_what_runs_finish_and_exits_with_0() -> None:
    with engine("--shutdown-timeout", "60", "--profile", "tiny-large", "--load-seconds", "0") as (process, url):
        answers: list[bytes] = []
        body = b'{"prompt": "[[tokens=40]]", "max_tokens": 40, "stream": true}'
        with urllib.request.urlopen(urllib.request.Request(f"{url}/v1/completions", data=body)) as response:
            answers.append(response.readline())
            process.send_signal(signal.SIGTERM)
            answers.extend(response)
        assert b"".join(answers).count(b'"text"') >= 1
        assert answers[-2:] == [b"data: [DONE]\n", b"\n"]
        assert process.wait(60) == 0


def test_without_a_timeout_sigterm_cuts_off_what_runs() -> None:
    with engine("--profile", "tiny-large", "--load-seconds", "0", "--time-scale", "0.001") as (process, url):
        failures: list[Exception] = []

        def ask() -> None:
            try:
                asked(url, b'{"prompt": "hello"}')
            except OSError as exc:
                failures.append(exc)

        thread = threading.Thread(target=ask)
        thread.start()
        while b"num_requests_running" not in (said := metrics(url)) or b'small"} 1.0' not in said:
            continue
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        thread.join(60)
        assert len(failures) == 1


def metrics(url: str) -> bytes:
    with urllib.request.urlopen(f"{url}/metrics") as response:
        found: bytes = next(line for line in response if line.startswith(b"vllm:num_requests_running"))
        return found


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--profile", "b200"], "no profile 'b200'; choose from tiny, tiny-large, tiny-small, a100-"),
        (["--kv-cache-tokens", "100"], "max_model_len 32768 does not fit the KV cache of 100 tokens"),
        (["--host", "192.0.2.1"], "cannot listen on 192.0.2.1:8000"),
    ],
)
def test_what_cannot_be_served_is_said_in_a_sentence(
    options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["engine-sim", "--served-model-name", "small", *options]) in (1, 2)
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--quality", "1.5"], ["--time-scale", "0"], ["--shutdown-timeout", "-1"]])
def test_numbers_out_of_range_are_wrong_usage(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["engine-sim", "--served-model-name", "small", *options])
    assert "is not between" in capsys.readouterr().err
