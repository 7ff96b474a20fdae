"""Builds the container images with whichever builder this machine has: `python images/build.py [--list] [ARGUMENT...]`.

docker, podman and buildah are tried in this order; docker counts only where its daemon answers. Without any of them
nothing is built and the reason is printed, which is no failure: the images are not needed to run the tests. Other
arguments go to the builder: `--build-arg BASE=...`, `--isolation chroot --pull=never` for a buildah without registry.
"""

import argparse
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent
REGISTRY: Final = "ghcr.io/heterofleet"


class Builder(NamedTuple):
    """A program that builds a Dockerfile, and a command that succeeds where it works."""

    build: tuple[str, ...]
    probe: tuple[str, ...]


BUILDERS: Final = (
    Builder(("docker", "build"), ("docker", "info")),
    Builder(("podman", "build"), ("podman", "info")),
    Builder(("buildah", "build"), ("buildah", "info")),
)


def usable() -> Iterator[Builder]:
    """The builders that work here; a docker without its daemon does not."""
    for builder in BUILDERS:
        if (
            shutil.which(builder.probe[0])
            and not subprocess.run(builder.probe, capture_output=True, check=False).returncode
        ):
            yield builder


def tags() -> dict[Path, str]:
    """Each Dockerfile and the tag of the image that it makes."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    files = sorted(ROOT.glob("images/*/Dockerfile"))
    return {file.relative_to(ROOT): f"{REGISTRY}/{file.parent.name}:{version}" for file in files}


def main() -> int:
    parser = argparse.ArgumentParser(description="Builds the container images.")
    parser.add_argument("--list", action="store_true", help="print the tags and build nothing")
    given, more = parser.parse_known_args()
    if given.list:
        sys.stdout.writelines(f"{tag}\n" for tag in tags().values())
        return 0
    builder = next(usable(), None)
    if builder is None:
        sys.stdout.write("images: skipped, since neither docker (with a daemon), podman nor buildah works here\n")
        return 0
    for file, tag in tags().items():
        sys.stdout.write(f"images: {builder.probe[0]} builds {tag}\n")
        sys.stdout.flush()
        subprocess.run([*builder.build, "--file", str(file), "--tag", tag, *more, "."], cwd=ROOT, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
