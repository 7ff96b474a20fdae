"""The entry: what is loaded for which command, and how a command ends."""

import subprocess
import sys
from pathlib import Path

import pytest

import heterofleet
from heterofleet.cli import main

HEAVY = ("pydantic", "yaml", "rich", "kubernetes", "aiohttp", "asyncio", "heterofleet.desired", "heterofleet.cluster")
FLEET = """\
apiVersion: heterofleet.io/v1alpha1
kind: HeterogeneousDeployment
metadata: {name: chat}
spec: {large: {model: {source: "hf://a/b"}}, small: {model: {source: "hf://a/c"}}}
"""


def loaded(*argv: str, stdin: str = "") -> set[str]:
    """Which of the heavy modules a process has loaded when it ends."""
    program = (
        "import sys\nfrom heterofleet.cli import main\n"
        f"try:\n    main.main({list(argv)!r})\nexcept SystemExit:\n    pass\n"
        f"print('loaded:', *[name for name in {HEAVY!r} if name in sys.modules])"
    )
    root = str(Path(heterofleet.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=stdin,
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": root},
    )
    return set(done.stdout.splitlines()[-1].removeprefix("loaded:").split())


@pytest.mark.parametrize("argv", [("--help",), ("status", "--help"), ("completion", "bash")])
def test_help_and_completion_load_nothing_heavy(argv: tuple[str, ...]) -> None:
    assert loaded(*argv) == set()


def test_validate_loads_neither_a_cluster_nor_tables() -> None:
    assert loaded("validate", "-", stdin=FLEET) == {"pydantic", "yaml"}


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    program = "import sys; from heterofleet.cli import main; sys.exit(main.main(['completion', 'bash']))"
    root = str(Path(heterofleet.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": root},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["version"]) == 0
    assert capsys.readouterr().out.startswith("heterofleet 0.")
