"""The models that real engines are given: the tiny ones, another of them, and some that no engine can serve.

What the hub has of these is told by their folders; of some it tells other sizes than they have.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from testbed import vllmcpu

CACHE_BYTES: Final = 4 << 20
"""Of the volume into which models are brought: room for some of the tiny ones."""
TOLD_BYTES: Final[Mapping[str, int | None]] = {"too-large": 10**12, "larger-than-told": None}
"""Bytes that the hub tells of each file of a model; of what it tells nothing, the disk finds out."""


def make(folder: Path) -> None:
    """Copies the tiny models into `folder`: `large`, `small`, `other`, and `small` in every form of BROKEN.

    Raises vllmcpu.MissingError.
    """
    shutil.copytree(vllmcpu.models(), folder)
    # Engines read them as a user of their own.
    for file in folder.rglob("*.safetensors"):
        file.chmod(0o644)
    shutil.copytree(folder / "small", folder / "other")
    for name, spoil in BROKEN.items():
        shutil.copytree(folder / "small", folder / name)
        spoil(folder / name)


def _unknown_architecture(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    config |= {"architectures": ["NoSuchModel"], "model_type": "no-such-model"}
    (model / "config.json").write_text(json.dumps(config))


def _no_tokenizer(model: Path) -> None:
    (model / "tokenizer.json").unlink()


def _truncated(model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])


def _larger_than_the_cache(model: Path) -> None:
    (model / "more.safetensors").write_bytes(bytes(2 * CACHE_BYTES))


def _whole(_: Path) -> None:
    """Only the hub tells something else."""


BROKEN: Final[Mapping[str, Callable[[Path], None]]] = {
    "broken-config": _unknown_architecture,
    "no-tokenizer": _no_tokenizer,
    "truncated-weights": _truncated,
    "too-large": _whole,
    "larger-than-told": _larger_than_the_cache,
}
