"""The hub answers the library that engines download with; no cluster is needed for it."""

import subprocess
from pathlib import Path

import pytest

from e2e import hub
from testbed import vllmcpu

_SNAPSHOT = """
import sys, huggingface_hub as hub
info = hub.HfApi().model_info("hub/tiny", revision="main", files_metadata=True)
assert [(s.rfilename, s.size) for s in info.siblings] == [("config.json", 2), ("model.safetensors", 3000)], info
hub.snapshot_download("hub/tiny", revision=info.sha, local_dir=sys.argv[1])
"""


def test_a_snapshot_of_a_model_comes_whole(tmp_path: Path):
    try:
        python = vllmcpu.environment() / "bin" / "python"
    except vllmcpu.MissingError as exc:
        pytest.skip(str(exc))
    model = tmp_path / "models" / "tiny"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"x" * 3000)
    with hub.serving("127.0.0.1", tmp_path / "models", {}) as url:
        command = [str(python), "-c", _SNAPSHOT, str(tmp_path / "brought")]
        subprocess.run(command, env={"HF_ENDPOINT": url, "HOME": str(tmp_path)}, check=True)
    assert (tmp_path / "brought" / "model.safetensors").read_bytes() == b"x" * 3000
