"""What documents tell people to type: the lines of `heterofleet` and `kubectl`, and where each of them is run for real.

OFFLINE     by `unit/test_typed.py`, in a folder with the files that its document shows or names
CLUSTER     by `cluster/test_cli.py`, before a real API server with the fleets that documents speak of
ELSEWHERE   by another test, or by nobody, with the reason
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from enum import Enum, auto
from pathlib import Path
from typing import Final, NamedTuple

from unit import markdown

_INVOKED: Final = re.compile(r"(?:^|&& |\| |<\(|`|bin/)(?:\$ )?(?:kubectl )?heterofleet ([a-z][^`|&;>)]*)")
_KUBECTL: Final = re.compile(r"^(?:\$ )?kubectl (?!heterofleet)([^|&>]*)")
_COMMENT: Final = re.compile(r" # .*|     .*")

PLACEHOLDERS: Final[Mapping[str, str]] = {
    "FLEET": "chat", "FILE": "fleet.yaml", "TRACE": "trace.csv.gz", "SHELL": "bash", "ID": "one",
}  # fmt: skip
"""What stands in a sentence for what a person would type."""

OF_A_CLUSTER: Final = frozenset({"diff", "doctor", "explain", "release", "retry", "roll", "status", "top"})

ELSEWHERE: Final[Mapping[str, str]] = {
    "engine-sim": "it serves until it is stopped: tests/simulate/test_process.py",
    "train-classifier tests/data": "it takes half a minute: tests/unit/training/test_classifier.py trains on that data",
    "--watch": "it goes on until it is interrupted: tests/cluster/test_cli.py",
    "cost --file": "it takes half a minute: tests/unit/cli/test_cost.py plays a shorter trace",
    "recommend ": "a search takes up to a minute, and a status or a Prometheus must hold a load: tests/recommend",
    "simulate chat.yaml http": "it needs the week of a Prometheus: tests/simulate asks one that is played",
}
"""Pieces of command lines that are not run by the tests of this module, with the reason."""

KUBECTL_ELSEWHERE: Final[Mapping[str, str]] = {
    "apply": "files of the repository: tests/cluster/test_install_guide.py and test_samples_apply.py",
    "create": "objects of others: a namespace, a Secret of random bytes",
    "delete": "takes away what others need: tests/cluster/test_install_guide.py",
    "drain": "takes a node from others: tests/reconcile/test_evacuation.py",
    "get heterogeneousdeployments --watch": "it goes on until it is interrupted",
    "get hd --watch": "it goes on until it is interrupted",
    "get nodes": "objects of others",
    "label": "objects of others: tests/cluster/test_install_guide.py",
    "logs": "played pods write no logs",
    "namespace argocd": "Argo CD is not there: tests/reconcile/test_gitops_statuses.py",
    "patch secret": "a Secret of random bytes, over several lines",
    "port-forward": "it goes on until it is interrupted",
    "taint": "takes a node from others: tests/reconcile/test_evacuation.py",
}


class Where(Enum):
    OFFLINE = auto()
    CLUSTER = auto()
    ELSEWHERE = auto()


class Typed(NamedTuple):
    """One command line without its program, and the first document that has it."""

    words: tuple[str, ...]
    document: Path

    @property
    def text(self) -> str:
        return " ".join(self.words)

    @property
    def is_spoken_of(self) -> bool:
        """A name in a sentence, alone or with what stands for its arguments, which nobody would type so."""
        return all(word in PLACEHOLDERS for word in self.words[1:])

    @property
    def where(self) -> Where:
        if any(piece in self.text for piece in ELSEWHERE):
            return Where.ELSEWHERE
        return Where.CLUSTER if self.words[0] in OF_A_CLUSTER or self._names_a_fleet else Where.OFFLINE

    @property
    def _names_a_fleet(self) -> bool:
        """`cost` and `recommend` ask a cluster only where they are told of whose fleet."""
        command, *rest = self.words
        if command == "cost":
            return bool(rest) and not rest[0].startswith("-")
        return command == "recommend" and "--fleet" in rest and not any("://" in word for word in rest)


def heterofleet(text: str) -> Iterator[list[str]]:
    """The command lines of a document, as it writes them."""
    for line in _lines(text):
        for words in _INVOKED.findall(line):
            yield shlex.split(_COMMENT.sub("", words).rstrip("…"))


def kubectl(text: str) -> Iterator[list[str]]:
    """Likewise those of kubectl that have arguments."""
    for line in _lines(text):
        for words in _KUBECTL.findall(line):
            try:
                yield shlex.split(_COMMENT.sub("", words).rstrip("… \\"))
            except ValueError:
                yield words.split()  # A quote that the next line ends.


def all_of(documents: list[Path], where: Where) -> list[Typed]:
    """Each distinct command line of some documents that is run there, with what stands for names filled in."""
    found: dict[tuple[str, ...], Typed] = {}
    for document in documents:
        for words in heterofleet(document.read_text(encoding="utf-8")):
            typed = Typed(tuple(words), document)
            if not typed.is_spoken_of and typed.where is where:
                filled = Typed(tuple(PLACEHOLDERS.get(word, word) for word in words), document)
                found.setdefault(filled.words, filled)
    return list(found.values())


def file_of(document: Path, name: str) -> str:
    """The YAML that a document shows under a first line `# NAME`; else its first fleet, or that of the README."""
    for fence in markdown.fences(document.read_text(encoding="utf-8")):
        if fence.text.startswith(f"# {name}\n"):
            return fence.text
    for place in (document, markdown.ROOT / "README.md"):
        for fence in markdown.fences(place.read_text(encoding="utf-8")):
            if fence.language == "yaml" and "kind: HeterogeneousDeployment" in fence.text:
                return fence.text
    raise LookupError("the README shows no fleet any more")


def _lines(text: str) -> Iterator[str]:
    """What is set as code, lines that go on in the next one put together."""
    held = ""
    for line in markdown.code(text):
        held += line.removesuffix("\\")
        if not line.endswith("\\"):
            yield held
            held = ""


def kubectl_of_fleets(documents: list[Path]) -> list[Typed]:
    """Each distinct line of kubectl that is about fleets, in the order of the documents."""
    found: dict[tuple[str, ...], Typed] = {}
    for document in documents:
        for words in kubectl(document.read_text(encoding="utf-8")):
            line = Typed(tuple(word.replace("FLEET", PLACEHOLDERS["FLEET"]) for word in words), document)
            if len(words) > 1 and not any(piece in line.text for piece in KUBECTL_ELSEWHERE):
                found.setdefault(line.words, line)
    return list(found.values())
