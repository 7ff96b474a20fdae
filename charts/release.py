"""Makes the files of a release: `python charts/release.py [FOLDER]`, by default tests/fixtures/releases.

FOLDER/VERSION gets the chart's package, the wheel, install.yaml, the CRDs, what is inside the images (`sbom`) and the
checksums of all of it. It stays in the repository, so that the tests of upgrades start from what was really released; a
release that is there already is never made again.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import yaml

from testbed import binaries

ROOT: Final = Path(__file__).resolve().parent.parent
RELEASES: Final = ROOT / "tests" / "fixtures" / "releases"
CHART: Final = ROOT / "charts" / "heterofleet"
_EPOCH: Final = "1577836800"
"""2020-01-01, as the time of every file in the wheel: the same sources make the same bytes."""


class ReleaseError(Exception):
    """The release cannot be made; the message says what to mend."""


def version() -> str:
    """The package's version, which the chart must have too."""
    package: str = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    if {chart["version"], chart["appVersion"]} != {package}:
        raise ReleaseError(f"Chart.yaml says {chart['version']} and {chart['appVersion']}, pyproject.toml {package}")
    return package


def make(releases: Path, helm: str) -> Path:
    """Make the present version's release under `releases` and give its folder."""
    folder = releases / version()
    if folder.exists():
        raise ReleaseError(f"{folder} is there: a release is never made again; raise the version")
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(ROOT / "crds", unfinished / "crds")
    shutil.copy(ROOT / "manifests" / "install.yaml", unfinished)
    _run(helm, "package", str(CHART), "--destination", str(unfinished))
    _run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(unfinished))
    _run(sys.executable, str(ROOT / "charts" / "sbom.py"), str(unfinished / "sbom"))
    (unfinished / "SHA256SUMS").write_text(_checksums(unfinished), "utf-8")
    unfinished.rename(folder)
    return folder


def _checksums(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    digests = ((hashlib.sha256(path.read_bytes()).hexdigest(), path.relative_to(folder)) for path in files)
    return "".join(f"{digest}  {name}\n" for digest, name in digests)


def _run(*command: str) -> None:
    environment = os.environ | {"SOURCE_DATE_EPOCH": _EPOCH}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"{' '.join(command)}: {done.stderr.strip()}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Makes the files of a release.")
    parser.add_argument("folder", nargs="?", type=Path, default=RELEASES, help="where releases are kept")
    try:
        folder = make(parser.parse_args().folder.resolve(), binaries.ensure()["helm"])
    except ReleaseError as exc:
        sys.stderr.write(f"release: {exc}\n")
        return 1
    sys.stdout.write(f"{(folder / 'SHA256SUMS').read_text('utf-8')}release: {folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
