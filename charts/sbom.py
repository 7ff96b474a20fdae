"""Writes what is inside the images: `python charts/sbom.py [FOLDER]`, by default build/sbom.

A CycloneDX document for each image that is shipped, from the lock file that the image installs from, so that it says
exactly what pip will take: name, version and the hashes that it may have. The same lock makes the same bytes.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
IMAGES: Final = ("operator", "router")
_EPOCH: Final = "1577836800"
"""2020-01-01, as the time of every document: they change with what they say."""


def write(folder: Path) -> Iterator[Path]:
    """Write each image's document into `folder`, and give where it is. Raises CalledProcessError."""
    folder.mkdir(parents=True, exist_ok=True)
    for image in IMAGES:
        file = folder / f"{image}.cdx.json"
        lock = ROOT / "images" / image / "requirements.lock"
        command = [sys.executable, "-m", "cyclonedx_py", "requirements", str(lock), "--pyproject"]
        command += [str(ROOT / "pyproject.toml"), "--output-reproducible", "--output-file", str(file)]
        subprocess.run(command, env=os.environ | {"SOURCE_DATE_EPOCH": _EPOCH}, check=True, capture_output=True)
        yield file


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes what is inside the images, as CycloneDX.")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build" / "sbom", help="where it is written")
    for file in write(parser.parse_args().folder.resolve()):
        sys.stdout.write(f"{file}\n")


if __name__ == "__main__":
    main()
