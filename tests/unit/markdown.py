"""Reads links, headings, code and YAML out of Markdown, for the tests that hold documents to facts."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r"^\s*```(\w*)\s*$")
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$")


class Fence(NamedTuple):
    """A fenced block: its language, "" if it names none, and its text."""

    language: str
    text: str


def documents() -> list[Path]:
    """Every Markdown file of the repository."""
    found = [*ROOT.glob("*.md")]
    for folder in ("docs", "operator", "tests", "charts", "manifests", "images"):
        found += (ROOT / folder).rglob("*.md")
    return sorted(found)


def named(path: Path) -> str:
    """How a test names a document."""
    return str(path.relative_to(ROOT))


def links(text: str) -> list[str]:
    """Targets of links and pictures, those outside of the repository left out."""
    targets = _LINK.findall("\n".join(_prose(text)))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def anchors(text: str) -> set[str]:
    """What a link may point at after '#', as GitHub makes it of headings."""
    titles = [match[1] for line in _prose(text) if (match := _HEADING.match(line))]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def fences(text: str) -> Iterator[Fence]:
    """The fenced blocks."""
    language, held = None, list[str]()
    for line in text.splitlines():
        match = _FENCE.match(line)
        if match and language is None:
            language, held = match[1], []
        elif match and language is not None:
            yield Fence(language, "\n".join(held))
            language = None
        elif language is not None:
            held.append(line)


def yamls(text: str) -> Iterator[Any]:
    """The documents in the YAML blocks."""
    for fence in fences(text):
        if fence.language == "yaml":
            yield from yaml.safe_load_all(fence.text)


def spans(text: str) -> list[str]:
    """Code within sentences and tables."""
    return [span for line in _prose(text) if not line.startswith("    ") for span in _SPAN.findall(line)]


def code(text: str) -> list[str]:
    """Everything that is set as code: spans, and the lines of fenced and of indented blocks."""
    indented = [line for line in _prose(text) if line.startswith("    ")]
    fenced = [line for fence in fences(text) for line in fence.text.splitlines()]
    return [*spans(text), *(line.strip() for line in [*indented, *fenced])]


def _prose(text: str) -> Iterator[str]:
    """The lines outside of fenced blocks."""
    inside = False
    for line in text.splitlines():
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            yield line
