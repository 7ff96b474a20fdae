"""The questions that `heterofleet recommend` asks on a terminal, where neither a trace nor a load was given.

Each has an answer that Enter gives. A wrong one is answered by the sentence that the option of the same name has, and
asked again. Answers stand in the options afterwards, as if they had been typed.
"""

import argparse
from collections.abc import Callable
from typing import Final, NamedTuple

Ask = Callable[[str], str]
"""Shows a question and gives what was typed."""


class _Question(NamedTuple):
    option: str
    text: str
    usual: str


_QUESTIONS: Final = (
    _Question("--qps", "Requests a second in the busiest hour", "30"),
    _Question("--steps", "Act requests for each plan (N)", "5"),
    _Question("--prompt-tokens", "Tokens of a mean prompt", "1000"),
    _Question("--output-tokens", "Tokens of a mean answer", "500"),
    _Question("--escalation-rate", "Share of steps that the large model has to repeat (Enter: not measured)", ""),
    _Question("--gpus", "GPUs that may be held at once (Enter: as many as it takes)", ""),
)


def ask(options: argparse.Namespace, parser: argparse.ArgumentParser, asked: Ask, tell: Callable[[str], None]) -> None:
    """Put the answers into `options`; `parser` is the command's, whose options say what is a good answer."""
    actions = {action.option_strings[0]: action for action in parser._actions if action.option_strings}
    for question in _QUESTIONS:
        action = actions[question.option]
        if getattr(options, action.dest) is None:
            setattr(options, action.dest, _answer(question, action, asked, tell))
    if not options.batch and not options.interactive:
        options.batch = _chosen("Does somebody wait for the answers", asked, tell, usual=True) is False
    if options.quality == "usual":
        alike = _chosen("Must answers be alike, whichever model gives them", asked, tell, usual=False)
        options.quality = "strict" if alike else "usual"


def _answer(question: _Question, action: argparse.Action, asked: Ask, tell: Callable[[str], None]) -> object:
    hint = f" [{question.usual}]" if question.usual else ""
    while True:
        written = asked(f"{question.text}{hint}: ").strip() or question.usual
        if not written:
            return None
        try:
            return action.type(written) if callable(action.type) else written
        except argparse.ArgumentTypeError as error:
            tell(str(error))


def _chosen(text: str, asked: Ask, tell: Callable[[str], None], *, usual: bool) -> bool:
    while True:
        written = asked(f"{text} [{'Y/n' if usual else 'y/N'}]: ").strip().lower()
        if written in ("", "y", "yes", "n", "no"):
            return usual if not written else written.startswith("y")
        tell("answer y or n")
