"""Compiles the modules that every request passes, as the router's image has them: into build/compiled, a copy.

    python images/router/compiled.py         makes the copy, which benchmarks and `make router-compiled` run
    python images/router/compiled.py SITE    puts its extensions beside the modules of the package in SITE, too

mypyc makes of a module's types an extension beside it, which Python takes in its place: it halves the CPU time of a
request (docs/adr/0103). The sources run as they are as well, and most tests run them so. Nothing is compiled in the
source tree, where an extension older than its module would hide it.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
COPY: Final = ROOT / "build" / "compiled"
MODULES: Final = (
    "accesslog", "answer", "attempts", "breaker", "budget", "call", "classify", "climb", "counts", "dispatch",
    "endpoints", "exchange", "features", "front", "inbound", "openai", "outbox", "pick", "pipeline", "policy", "prefix",
    "quality", "reading", "recall", "refusals", "relay", "requesthead", "successes", "tiering", "upstream",
)  # fmt: skip
"""Of heterofleet.router. They are compiled as one, so that they call each other past the interpreter."""

_STAMP: Final = "compiled.sha256"


def compiled_copy(folder: Path) -> None:
    """Our sources in `folder`, with the extensions beside them; what is there already and of these sources stays.

    Raises CalledProcessError with what mypyc has said.
    """
    digest = _digest(ROOT / "operator")
    stamp = folder / _STAMP
    if stamp.exists() and stamp.read_text("utf-8") == digest:
        return
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "operator", folder, ignore=shutil.ignore_patterns("__pycache__"))
    modules = [str(Path("heterofleet", "router", f"{name}.py")) for name in MODULES]
    subprocess.run(
        [sys.executable, "-m", "mypyc", "--config-file", str(ROOT / "pyproject.toml"), *modules],
        cwd=folder, env={**os.environ, "MYPYPATH": str(folder)}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    shutil.rmtree(folder / "build")
    stamp.write_text(digest, "utf-8")


def install(compiled: Path, site: Path) -> None:
    """Puts the extensions beside the modules of the package that is installed in `site`."""
    for extension in compiled.rglob("*.so"):
        shutil.copy(extension, site / extension.relative_to(compiled))


def _digest(sources: Path) -> str:
    files = sorted(path for path in sources.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in files)).hexdigest()


def main(arguments: Sequence[str]) -> None:
    try:
        compiled_copy(COPY)
    except subprocess.CalledProcessError as exc:
        sys.exit(f"{exc.stdout}{exc.stderr}\nthe router's modules could not be compiled: mend what mypyc says")
    for site in arguments:
        install(COPY, Path(site))


if __name__ == "__main__":
    main(sys.argv[1:])
