"""Brings programs that are Debian packages, such as Prometheus, without changing the machine.

What is on PATH is taken. Else the package and what it lacks are downloaded by apt and unpacked into the cache: that
needs no root, and, unlike an installation, starts no service (nginx would listen on port 80).
"""

import os
import shutil
import subprocess
from pathlib import Path

from testbed import cache

_PACKAGES = {"promtool": "prometheus", "redis-cli": "redis-tools"}


def tool(name: str) -> Path | None:
    """The path of a program, or None, having said why, where this machine cannot have it."""
    on_path = shutil.which(name)
    if on_path:
        return Path(on_path)
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        cache.say(f"skipping what needs {name}: it is not on PATH, and apt-get is not there to bring it")
        return None
    package = _PACKAGES.get(name, name)
    try:
        folder = cache.product(f"debian-{package}", lambda unpacked: _unpack(package, unpacked))
    except subprocess.CalledProcessError as exc:
        said = (exc.stderr or "").strip().splitlines()
        cache.say(f"skipping what needs {name}: apt-get could not bring {package}: {said[-1] if said else exc}")
        return None
    return _launcher(folder, name)


def install(*packages: str) -> None:
    """Installs packages, for what must find its own libraries and programs in their places: root alone may.

    Raises subprocess.CalledProcessError, with what apt said.
    """
    with cache.step(f"installing Debian's {', '.join(packages)}"):
        _run("apt-get", "update", "-qq", cwd=Path("/"))
        _run("apt-get", "install", "-qq", "--yes", "--no-install-recommends", *packages, cwd=Path("/"))


def _unpack(package: str, folder: Path) -> None:
    with cache.step(f"unpacking Debian's {package}"):
        archives = folder / "archives"
        archives.mkdir()
        _run("apt-get", "download", "-qq", *_missing_packages(package), cwd=archives)
        for archive in sorted(archives.glob("*.deb")):
            _run("dpkg", "-x", str(archive), str(folder / "root"), cwd=folder)
        shutil.rmtree(archives)


def _missing_packages(package: str) -> list[str]:
    try:
        return _simulated_installation(package)
    except subprocess.CalledProcessError:
        if os.geteuid() != 0:
            raise
        # A fresh machine has no package lists; only root may fetch them.
        _run("apt-get", "update", "-qq", cwd=Path("/"))
        return _simulated_installation(package)


def _simulated_installation(package: str) -> list[str]:
    options = ["-s", "-qq", "-y", "--no-install-recommends", "-o", "Debug::NoLocking=1"]
    planned = _run("apt-get", "install", *options, package, cwd=Path("/"))
    # Lines such as: Inst redis-server (5:7.0.15-1 Debian:12/stable [amd64])
    return [line.split()[1] for line in planned.splitlines() if line.startswith("Inst ")]


def _launcher(folder: Path, name: str) -> Path | None:
    root = folder / "root"
    program = next((found for place in ("usr/bin", "usr/sbin") if (found := root / place / name).exists()), None)
    if program is None:
        cache.say(f"skipping what needs {name}: its Debian package does not hold it")
        return None
    libraries = sorted({str(found.parent) for found in root.rglob("*.so*")})
    launcher = folder / f"{name}.sh"
    if not launcher.exists():
        unfinished = folder / f"{name}.{os.getpid()}"
        # Started by its own name: redis-server is a link to a program that looks at how it was called.
        unfinished.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH="{":".join(libraries)}" exec "{program}" "$@"\n')
        unfinished.chmod(0o755)
        unfinished.rename(launcher)
    return launcher


def _run(*command: str, cwd: Path) -> str:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout
