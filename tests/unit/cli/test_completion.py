"""Shells offer what the command line has."""

import shutil
import subprocess
from pathlib import Path

import pytest

from heterofleet.cli import main


def completed(tmp_path: Path, script: str, *words: str) -> list[str]:
    """What bash offers for the last of `words`, with a `heterofleet` that knows two fleets."""
    (tmp_path / "completion").write_text(script)
    typed = " ".join(f"'{word}'" for word in words)
    program = (
        'heterofleet() { [ "$*" = "status -o name --context c" ] && printf "chat\\nsearch\\n"; }\n'
        f"compopt() {{ :; }}\nsource {tmp_path}/completion\n"
        f'COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; _heterofleet; printf "%s\\n" "${{COMPREPLY[@]}}"\n'
    )
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("st",), ["status"]),
        (("status", "-o", ""), ["table", "json", "yaml", "name"]),
        (("status", "--context", "c", ""), ["chat", "search"]),
        (("roll", "--context", "c", "se"), ["search"]),
        (("release", "--tier", "l"), ["large"]),
        (("release", "--ti"), ["--tier"]),
        (("explain", "--context", "c", "se"), ["search"]),
        (("top", "--sort", "m"), ["money", "missing"]),
        (("diff", "--ex"), ["--exit-code"]),
        (("cost", "--tc"), ["--tco"]),
        (("cost", "--context", "c", "se"), ["search"]),
        (("completion", ""), ["bash", "zsh", "fish"]),
    ],
)
def test_bash_offers_what_may_come_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], offered: list[str]
) -> None:
    assert main.main(["completion", "bash"]) == 0
    assert completed(tmp_path, capsys.readouterr().out, "heterofleet", *words) == offered


def test_zsh_and_fish_know_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["completion", "zsh"]) == 0
    assert capsys.readouterr().out.startswith("autoload -U +X bashcompinit && bashcompinit\n")
    assert main.main(["completion", "fish"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for command in (
        "validate",
        "render",
        "status",
        "doctor",
        "top",
        "explain",
        "diff",
        "roll",
        "retry",
        "release",
        "completion",
        "version",
    ):
        assert any(f"__fish_use_subcommand -a {command} " in line for line in lines)
    assert "complete -c heterofleet -n '__fish_seen_subcommand_from release' -l tier -x -a 'large small'" in lines
