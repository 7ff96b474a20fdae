"""The arguments that may not stand in extraArgs, held against what vLLM's own parser takes (tests/data/SOURCES.md)."""

import json
from pathlib import Path

import pytest

from heterofleet.api import engine

FLAGS: dict[str, list[str]] = json.loads((Path(__file__).parents[2] / "data" / "vllm-flags.json").read_text("utf-8"))
KNOWN = {flag for flags in FLAGS.values() for flag in flags}


def test_every_reserved_flag_is_one_of_vllm() -> None:
    assert set(engine.RESERVED_ARGUMENTS) - KNOWN == set()


def test_all_spellings_of_what_is_reserved_are_reserved() -> None:
    free = {
        flag
        for flags in FLAGS.values()
        if set(flags) & set(engine.RESERVED_ARGUMENTS)
        for flag in flags
        if engine.reserved(flag) is None
    }
    # The opposite of a switch that is off anyway takes nothing back.
    assert {flag for flag in free if not flag.startswith("--no-")} == set()


def test_no_other_flag_of_vllm_is_refused() -> None:
    assert {flag for flag in KNOWN - set(engine.RESERVED_ARGUMENTS) if engine.reserved(flag)} == set()


@pytest.mark.parametrize("flag", [flag for flag in engine.RESERVED_ARGUMENTS if flag.startswith("--")])
def test_every_abbreviation_that_vllm_completes_to_a_reserved_flag_is_refused(flag: str) -> None:
    beginnings = [flag[:length] for length in range(4, len(flag))]
    unambiguous = [start for start in beginnings if [known for known in KNOWN if known.startswith(start)] == [flag]]
    assert [start for start in unambiguous if engine.reserved(f"{start}=1") is None] == []


@pytest.mark.parametrize(
    ("argument", "flag"),
    [
        ("--tensor_parallel_size=4", "--tensor-parallel-size"),
        ("--max-model", "--max-model-len"),
        ("-tp", "-tp"),
        ("-n2", "-n"),
        ("--model-impl=vllm", None),
        ("-1", None),
        ("auto", None),
        ('{"n": 2}', None),
    ],
)
def test_an_argument_is_taken_as_vllm_takes_it(argument: str, flag: str | None) -> None:
    assert engine.reserved(argument) == flag
