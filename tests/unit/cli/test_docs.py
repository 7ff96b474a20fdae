"""The page of the command line speaks of every command and option that there is."""

import argparse
from pathlib import Path

import heterofleet
from heterofleet.cli import arguments

PAGE = (Path(heterofleet.__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")


def test_every_command_and_every_option_is_explained() -> None:
    actions = arguments.parser()._actions
    commands = next(action for action in actions if isinstance(action, argparse._SubParsersAction)).choices
    flags = {flag for command in commands.values() for action in command._actions for flag in action.option_strings}
    spoken = {f"`{name}" for name in commands} | {flag for flag in flags if flag.startswith("--")} - {
        "--help",
        "--output",
    }
    assert sorted(word for word in spoken if word not in PAGE) == []
