"""`heterofleet validate`: prints the findings of files as a compiler would, and fails when there is an error."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TextIO

from heterofleet.cli import findings, ink
from heterofleet.cli.errors import CliError
from heterofleet.cli.findings import Examined, Finding
from heterofleet.cli.judgement import Severity
from heterofleet.planning import catalogue

_STYLES: Final = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}
_SUFFIXES: Final = (".yaml", ".yml", ".json")


class Source(NamedTuple):
    """A text and the name that findings give it."""

    name: str
    text: str


def run(options: argparse.Namespace) -> int:
    known = catalogue.load()
    examined = [(source, findings.examine(source.text, known)) for source in sources(options.files, sys.stdin)]
    if options.output == "table":
        for source, found in examined:
            show(source, found, sys.stdout)
    else:
        _print_as(options.output, examined)
    return 1 if any(found.errors for _, found in examined) else 0


def sources(names: Sequence[str], stdin: TextIO) -> Iterator[Source]:
    """Read what the command line names: files, folders (their YAML and JSON files), or `-`.

    Raises CliError naming what cannot be read.
    """
    for name in names:
        if name == "-":
            yield Source("stdin", stdin.read())
        elif Path(name).is_dir():
            files = sorted(file for file in Path(name).iterdir() if file.suffix in _SUFFIXES)
            if not files:
                raise CliError(f"{name}: this folder has no file that ends in {', '.join(_SUFFIXES)}")
            yield from (Source(str(file), _text(file)) for file in files)
        else:
            yield Source(name, _text(Path(name)))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CliError(f"{file}: is not text in UTF-8 (byte {error.start})") from error
    except OSError as error:
        raise CliError(f"{file}: {(error.strerror or str(error)).lower()}") from error


def show(source: Source, examined: Examined, stream: TextIO) -> None:
    """Write one text's findings and their count for a person."""
    paint = ink.paint(stream)
    lines = source.text.splitlines()
    for finding in examined.findings:
        place = f"{source.name}:{finding.span.line}:{finding.span.column}:"
        about = f" {finding.path}:" if finding.path else ""
        told = finding.severity is Severity.WARNING and finding.reason
        reason = paint("dim", f" [{finding.reason}]") if told else ""
        severity = paint(_STYLES[finding.severity], f"{finding.severity}:")
        print(f"{paint('bold', place)} {severity}{about} {finding.message}{reason}", file=stream)
        if finding.severity is not Severity.NOTE and finding.span.line <= len(lines):
            _print_excerpt(lines[finding.span.line - 1], finding, paint, stream)
    print(_summary(source, examined, paint), file=stream)


def _print_excerpt(line: str, finding: Finding, paint: ink.Paint, stream: TextIO) -> None:
    gutter = f"{finding.span.line:>5} "
    before = "".join(character if character == "\t" else " " for character in line[: finding.span.column - 1])
    length = max(1, min(finding.span.length, len(line) - len(before)))
    print(f"{paint('dim', f'{gutter}|')} {line}", file=stream)
    print(
        f"{paint('dim', ' ' * len(gutter) + '|')} {before}{paint(_STYLES[finding.severity], '^' * length)}", file=stream
    )


def _summary(source: Source, examined: Examined, paint: ink.Paint) -> str:
    counts = [_count(examined.meant, "fleet")]
    if examined.errors:
        counts.append(paint("red", _count(examined.errors, "error")))
    if examined.warnings:
        counts.append(paint("yellow", _count(examined.warnings, "warning")))
    if examined.meant and not examined.errors:
        counts.append(paint("green", "valid"))
    return f"{source.name}: {', '.join(counts)}"


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _print_as(format_: str, examined: Sequence[tuple[Source, Examined]]) -> None:
    from heterofleet.cli import output  # noqa: PLC0415  not needed for the usual form

    output.dump(format_, [_entry(source, finding) for source, found in examined for finding in found.findings])


def _entry(source: Source, finding: Finding) -> dict[str, Any]:
    line, column, _ = finding.span
    return {
        "file": source.name,
        "line": line,
        "column": column,
        "severity": str(finding.severity),
        "path": finding.path,
        "reason": finding.reason,
        "message": finding.message,
    }
