"""What clients saw and what routers logged and counted are held together, ask by ask."""

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soak import accounts
from soak.exposition import Exposition
from soak.heard import How
from soak.judging import Kind
from soak.records import Record
from soak.routers import Life

RIGHT = Record(
    id="soak-1", life="a-1", began=1.0, ended=2.0, how=How.WHOLE, status=200, attempts=1, kind=Kind.RIGHT, sentence="",
    refused_connections=0, reused=False, completion_tokens=7,
)  # fmt: skip
LINE = {"id": "soak-1", "outcome": "ok", "promptTokens": 3, "completionTokens": 7}


@pytest.fixture
async def life(tmp_path: Path) -> Life:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await process.wait()
    return Life("a-1", process, tmp_path / "access.jsonl", tmp_path / "log", 0.0, leaving_at=9.0)


def differences(life: Life, *lines: dict[str, Any], **changes: Any) -> list[str]:
    return accounts.differences([replace(RIGHT, **changes)], [life], {life.name: list(lines)})


async def test_an_ask_that_is_logged_once_as_its_client_saw_it_is_no_difference(life: Life) -> None:
    assert differences(life, LINE) == []


@pytest.mark.parametrize(
    ("lines", "changes", "sentence"),
    [
        ([], {}, "a-1 does not log soak-1, which was right"),
        ([LINE, LINE], {}, "a-1 logs soak-1 2 times"),
        ([LINE, {**LINE, "id": "soak-2"}], {}, "a-1 logs soak-2, which asked elsewhere"),
        ([{**LINE, "outcome": "failed"}], {}, "a-1 logs soak-1 as failed, its client saw: right"),
        ([LINE], {"kind": Kind.NO_PLACE}, "a-1 logs soak-1 as ok, its client saw: no place in the queue"),
        ([{**LINE, "completionTokens": 8}], {}, "a-1 counts 8 tokens for soak-1, its answer has 7"),
    ],
)
async def test_everything_else_is(life: Life, lines: list[Any], changes: dict[str, Any], sentence: str) -> None:
    assert differences(life, *lines, **changes) == [sentence]


async def test_a_client_that_left_may_have_been_heard_or_not(life: Life) -> None:
    cancelled = {**LINE, "outcome": "cancelled"}
    assert differences(life, kind=Kind.LEFT) == differences(life, cancelled, kind=Kind.LEFT) == []


async def test_a_killed_process_may_lack_only_what_it_had_no_time_to_write(life: Life) -> None:
    life.killed_at = 2.5
    assert differences(life) == []
    life.killed_at = 8.0
    assert differences(life) == ["a-1 does not log soak-1, which was right"]


async def test_the_last_line_of_a_killed_process_may_be_cut_off(life: Life) -> None:
    life.access_log.write_bytes(json.dumps(LINE).encode() + b'\n{"id": "soak')
    life.killed_at = 2.5
    assert accounts.read_log(life) == [LINE]
    life.killed_at = None
    with pytest.raises(json.JSONDecodeError):
        accounts.read_log(life)


def exposition(requests: int, prompt: int, completion: int, defects: int = 0) -> Exposition:
    labels = 'namespace="default",fleet="soak",class="act"'
    lines = [
        f'heterofleet_router_requests_total{{{labels},tier="small",outcome="ok"}} {requests}',
        f'heterofleet_router_prompt_tokens_total{{{labels},tier="small"}} {prompt}',
        f'heterofleet_router_completion_tokens_total{{{labels},tier="small"}} {completion}',
        f'heterofleet_router_defects_total{{namespace="default",fleet="soak"}} {defects}',
    ]
    return Exposition("\n".join(lines) + "\n")


async def test_metrics_must_be_what_the_log_holds(life: Life) -> None:
    assert accounts.miscounted(life, exposition(2, 6, 14), [LINE, LINE]) == []
    assert accounts.miscounted(life, exposition(3, 6, 14), [LINE, LINE]) == ["a-1 counts {'ok': 3} and logs {'ok': 2}"]
    assert accounts.miscounted(life, exposition(2, 6, 13), [LINE, LINE]) == [
        "a-1 counts 13 in completion_tokens_total and logs 14"
    ]
    assert accounts.miscounted(life, exposition(2, 6, 14, 1), [LINE, LINE]) == ["a-1 counts 1 defects of its own"]
