"""`heterofleet completion`: a shell's script, made from the command line itself, so that it offers what exists.

Names of fleets are asked of the cluster when they are needed, with the namespace and context typed so far.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from heterofleet.cli import arguments

_FLEET: Final = "fleet"
_FILES: Final = ("file", "files")


class _Command(NamedTuple):
    name: str
    text: str
    options: tuple[str, ...]
    choices: Mapping[str, Sequence[str]]
    """Values by option; the positional's under ""."""
    wants: str
    """What the positional is: fleet, file, or nothing that can be completed."""

    def valued(self) -> Iterator[tuple[list[str], Sequence[str]]]:
        """Flags that take one of some values, those of one option together."""
        for values in dict.fromkeys(tuple(values) for flag, values in self.choices.items() if flag):
            yield [flag for flag, own in self.choices.items() if flag and tuple(own) == values], values


def run(options: argparse.Namespace) -> int:
    commands = tuple(_commands(arguments.parser()))
    scripts = {"bash": _bash, "zsh": _zsh, "fish": _fish}
    print(scripts[options.shell](commands), end="")
    return 0


def _commands(parser: argparse.ArgumentParser) -> Iterator[_Command]:
    subparsers = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    texts = {choice.dest: choice.help or "" for choice in subparsers._choices_actions}
    for name, command in subparsers.choices.items():
        own = command._actions
        positional = next((action for action in own if not action.option_strings), None)
        choices = {flag: tuple(action.choices) for action in own if action.choices for flag in action.option_strings}
        if positional is not None and positional.choices:
            choices[""] = tuple(positional.choices)
        dest = positional.dest if positional is not None else ""
        yield _Command(
            name=name,
            text=texts[name],
            options=tuple(flag for action in own for flag in action.option_strings),
            choices=choices,
            wants="fleet" if dest == _FLEET else "file" if dest in _FILES else "",
        )


def _bash(commands: Sequence[_Command]) -> str:
    cases = "".join(f"    {_bash_case(command)}\n" for command in commands)
    return f"""\
# bash completion of heterofleet: source <(heterofleet completion bash)
_heterofleet() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} index
  local -a cluster=()
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W "{_words([command.name for command in commands])} --help" -- "$current"))
    return
  fi
  for ((index = 2; index < COMP_CWORD - 1; index++)); do
    case ${{COMP_WORDS[index]}} in
      -n | --namespace | --context | --kubeconfig) cluster+=("${{COMP_WORDS[index]}}" "${{COMP_WORDS[index + 1]}}") ;;
    esac
  done
  case "${{COMP_WORDS[1]}}:$previous" in
{_bash_values(commands)}    *:--kubeconfig)
      compopt -o filenames
      COMPREPLY=($(compgen -f -- "$current"))
      return
      ;;
  esac
  case ${{COMP_WORDS[1]}} in
{cases}  esac
}}
complete -F _heterofleet heterofleet
"""


def _bash_values(commands: Sequence[_Command]) -> str:
    return "".join(
        f"    {' | '.join(f'{command.name}:{flag}' for flag in flags)})\n"
        f'      COMPREPLY=($(compgen -W "{_words(values)}" -- "$current"))\n'
        "      return\n"
        "      ;;\n"
        for command in commands
        for flags, values in command.valued()
    )


def _bash_case(command: _Command) -> str:
    """What may come next: options once a dash is typed, else what the command is about."""
    options = f'COMPREPLY=($(compgen -W "{_words(command.options)}" -- "$current"))'
    if command.wants == "fleet":
        names = '$(heterofleet status -o name "${cluster[@]}" 2>/dev/null)'
        rest = f'COMPREPLY=($(compgen -W "{names}" -- "$current"))'
    elif command.wants == "file":
        rest = 'compopt -o filenames; COMPREPLY=($(compgen -f -- "$current"))'
    else:
        rest = f'COMPREPLY=($(compgen -W "{_words(command.choices.get("", command.options))}" -- "$current"))'
    return f"{command.name}) if [[ $current == -* ]]; then {options}; else {rest}; fi ;;"


def _zsh(commands: Sequence[_Command]) -> str:
    """Zsh runs bash's script as it is."""
    return f"autoload -U +X bashcompinit && bashcompinit\n{_bash(commands)}"


def _fish(commands: Sequence[_Command]) -> str:
    lines = ["# fish completion of heterofleet: heterofleet completion fish | source", "complete -c heterofleet -f"]
    for command in commands:
        lines.append(f"complete -c heterofleet -n __fish_use_subcommand -a {command.name} -d '{command.text}'")
        seen = f"-n '__fish_seen_subcommand_from {command.name}'"
        if command.wants == "fleet":
            lines.append(f"complete -c heterofleet {seen} -a '(heterofleet status -o name 2>/dev/null)'")
        elif command.wants == "file":
            lines.append(f"complete -c heterofleet {seen} -F")
        if "" in command.choices:
            lines.append(f"complete -c heterofleet {seen} -a '{_words(command.choices[''])}'")
        for flag in command.options:
            kind = f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}"
            values = f" -x -a '{_words(command.choices[flag])}'" if flag in command.choices else ""
            lines.append(f"complete -c heterofleet {seen} {kind}{values}")
    return "\n".join(lines) + "\n"


def _words(words: Sequence[str]) -> str:
    return " ".join(words)
