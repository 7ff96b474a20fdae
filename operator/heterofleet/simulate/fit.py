"""Fits profiles to measurements: `python -m heterofleet.simulate.fit TABLE.csv > …/simulate/data/profiles.json`.

The table is SageServe's (Splitwise measured it): for a model, a GPU and a tensor parallel size, the milliseconds that a
prompt took (`prompt_time`) and those between two tokens (`token_time`), by prompt size, batch size and answer size.

    token_time  = step + sequence x batch + kv_token x batch x (prompt + answer / 2)     mean over the answer
    prompt_time = max(step, batch x prompt / rate)

Both are least squares of the relative error, since an error of 5 ms is nothing in a prompt of 7 s and much in a token.
A coefficient that comes out below zero is left out and the others are fitted again: more work takes no less time.
Rows in which a larger batch of prompts took less time than a smaller one did not hold that batch in memory at all (the
70B model on two GPUs at batch 64): they are dropped.

What a table does not say stands in MODELS: the KV cache that is left beside the weights.
"""

import csv
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heterofleet.simulate.profile import Profile

Floats = NDArray[np.float64]


class Setting(NamedTuple):
    """One engine of the table."""

    model: str
    hardware: str
    tensor: int


class Measured(NamedTuple):
    """One row; times in seconds."""

    prompt: int
    batch: int
    answer: int
    prompt_seconds: float
    token_seconds: float


class Model(NamedTuple):
    """What of a model decides how much cache fits: 16-bit weights, and keys and values of a token."""

    name: str
    weight_bytes: float
    kv_bytes_per_token: float


class Errors(NamedTuple):
    """Relative errors of a fit: half of the rows are below the median."""

    prompt_median: float
    prompt_worst: float
    token_median: float
    token_worst: float


MODELS: Final[Mapping[str, Model]] = {
    # Llama 2 70B: 80 layers, 8 KV heads of 128; BLOOM: 70 layers, 112 heads of 128, each with keys and values.
    "A": Model("70b", 2 * 68.98e9, 2 * 2 * 80 * 8 * 128),
    "B": Model("176b", 2 * 176.25e9, 2 * 2 * 70 * 112 * 128),
}

_USABLE_BYTES: Final = 0.9 * 79.25 * 2**30
"""vLLM's default share of what CUDA offers on an 80 GB GPU."""

_LOAD_BYTES_PER_SECOND: Final = 1e9
_COMPILE_SECONDS: Final = 120
"""The priors of planning/startup.py, for weights that lie on the node."""


def read(path: Path) -> dict[Setting, list[Measured]]:
    """The rows of a table by engine."""
    found = defaultdict(list)
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            setting = Setting(row["model"], row["hardware"].removesuffix("-80gb"), int(row["tensor_parallel"]))
            sizes = (int(row[name]) for name in ("prompt_size", "batch_size", "token_size"))
            seconds = (float(row[name]) / 1000 for name in ("prompt_time", "token_time"))
            found[setting].append(Measured(*sizes, *seconds))
    return dict(found)


def plausible(rows: Iterable[Measured]) -> list[Measured]:
    """The rows in which a larger batch took no less time than the smaller ones of the same prompt."""
    longest: dict[int, float] = {}
    kept = []
    for row in sorted(rows, key=lambda row: (row.prompt, row.batch, row.prompt_seconds)):
        if row.prompt_seconds >= 0.9 * longest.get(row.prompt, 0.0):
            longest[row.prompt] = max(row.prompt_seconds, longest.get(row.prompt, 0.0))
            kept.append(row)
    return kept


def fit(setting: Setting, rows: Sequence[Measured]) -> tuple[Profile, Errors]:
    """The profile that comes closest to the rows, and how close."""
    prompt, batch, answer, prompt_seconds, token_seconds = (
        np.array(column, dtype=float) for column in zip(*plausible(rows), strict=True)
    )
    columns = np.column_stack((np.ones_like(batch), batch, batch * (prompt + answer / 2)))
    step, sequence, kv_token = _least_squares(columns, token_seconds)
    tokens = prompt * batch
    # Prompts that the step hides say nothing of the rate.
    visible = prompt_seconds > 1.5 * step
    ratio = tokens[visible] / prompt_seconds[visible]
    rate = float((ratio @ ratio) / ratio.sum())
    model = MODELS[setting.model]
    cache = (setting.tensor * _USABLE_BYTES - model.weight_bytes) / model.kv_bytes_per_token
    profile = Profile(
        name=f"{setting.hardware}-tp{setting.tensor}-{model.name}",
        prefill_tokens_per_second=round(rate),
        step_seconds=_rounded(step),
        sequence_seconds=_rounded(sequence),
        kv_token_seconds=_rounded(kv_token),
        kv_tokens=int(cache) // 16 * 16,
        load_seconds=round(model.weight_bytes / _LOAD_BYTES_PER_SECOND + _COMPILE_SECONDS),
        max_num_batched_tokens=2048 if setting.hardware == "a100" else 8192,
        max_model_len=min(32_768, int(cache) // 16 * 16),
    )
    prompt_error = _errors(np.maximum(step, tokens / rate), prompt_seconds)
    token_error = _errors(columns @ np.array((step, sequence, kv_token)), token_seconds)
    return profile, Errors(*prompt_error, *token_error)


def _least_squares(columns: Floats, measured: Floats) -> tuple[float, float, float]:
    """Non-negative coefficients with the least squared relative error."""
    kept = list(range(columns.shape[1]))
    while True:
        weighted = columns[:, kept] / measured[:, None]
        solved = np.linalg.lstsq(weighted, np.ones_like(measured), rcond=None)[0]
        if solved.min() >= 0:
            break
        del kept[int(solved.argmin())]
    found = np.zeros(columns.shape[1])
    found[kept] = solved
    return float(found[0]), float(found[1]), float(found[2])


def _errors(fitted: Floats, measured: Floats) -> tuple[float, float]:
    relative = np.abs(fitted / measured - 1)
    return round(float(np.median(relative)), 3), round(float(relative.max()), 3)


def _rounded(value: float) -> float:
    """Four digits: the rest is noise of the measurement."""
    return float(f"{value:.3e}")


def document(table: Mapping[Setting, Sequence[Measured]]) -> str:
    """The data file of profiles, with the errors of their fits."""
    profiles, errors = {}, {}
    for setting in sorted(table):
        profile, error = fit(setting, table[setting])
        values = asdict(profile)
        del values["name"]
        profiles[profile.name] = values
        errors[profile.name] = error._asdict()
    return json.dumps({"profiles": profiles, "relative_errors": errors}, indent=1) + "\n"


def main() -> None:
    """Print the profiles that fit the table named on the command line."""
    sys.stdout.write(document(read(Path(sys.argv[1]))))


if __name__ == "__main__":
    main()
