"""The models that real engines are given: the tiny ones, another of them, and some that no engine can serve."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from testbed import vllmcpu


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


BROKEN: Final[Mapping[str, Callable[[Path], None]]] = {
    "broken-config": _unknown_architecture,
    "no-tokenizer": _no_tokenizer,
    "truncated-weights": _truncated,
}
