"""Builds the product's images on a machine without registry: buildah in chroot isolation, upon a base by debootstrap.

    archive("router")   the path of a docker-archive, which `RealNodes.load` takes

Images are those of images/*/Dockerfile. Only what they stand upon is another: Debian's own Python in the place of
Docker's (`bases/`). pip's settings and the authorities that this machine trusts are mounted while an image is built,
and are in none of its layers. Layers are kept in a store of the cache, so that a changed source costs no download.
"""

import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from testbed import cache

ROOT: Final = Path(__file__).resolve().parents[2]
_BASES: Final = Path(__file__).parent / "bases"
_PACKAGES: Final = ("python3", "python3-venv")
_UNUSED: Final = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/lib/apt/lists", "var/cache/apt")
_RELEASE: Final = "bookworm"
_AUTHORITIES: Final = "/run/authorities.pem"
_SOURCES: Final = ("pyproject.toml", "README.md", "LICENSE", "NOTICE", ".dockerignore", "operator", "images/operator")
"""What images but the engine's are made of, together with their own folder and their base."""


class MissingError(Exception):
    """This machine cannot build images; the text says why."""


def archive(name: str) -> Path:
    """The archive of the image `name` (a folder of images/), built unless it is in the cache. Raises MissingError."""
    _check_machine()
    try:
        folder = cache.product(f"image-{name}-{_digest(name)}", lambda made: _build(name, made))
    except subprocess.CalledProcessError as exc:
        said = [line for line in f"{exc.stdout or ''}\n{exc.stderr or ''}".splitlines() if line.strip()]
        raise MissingError(f"the image {name} could not be built: {' / '.join(said[-5:]) or exc}") from exc
    return folder / f"{name}.tar"


@functools.cache
def tag(name: str) -> str:
    """The full name of an image, as the chart asks for it."""
    listed = _run(sys.executable, str(ROOT / "images" / "build.py"), "--list").splitlines()
    return next(line for line in listed if line.rpartition(":")[0].endswith(f"/{name}"))


def _check_machine() -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        raise MissingError("images are built by root on Linux alone, which this is not")
    lacking = [program for program in ("buildah", "debootstrap") if shutil.which(program) is None]
    if not lacking:
        return
    if shutil.which("apt-get") is None:
        raise MissingError(f"images need {' and '.join(lacking)}, which this machine lacks, as it does apt-get")
    with cache.step(f"installing Debian's {' and '.join(lacking)}"):
        # Unpacked into the cache it would not run: it starts itself anew without the paths of its libraries.
        try:
            _run("apt-get", "update", "-qq")
            _run("apt-get", "install", "-qq", "--yes", "--no-install-recommends", *lacking)
        except subprocess.CalledProcessError as exc:
            raise MissingError(f"apt-get could not install {' and '.join(lacking)}: {exc.stderr.strip()}") from exc


def _build(name: str, folder: Path) -> None:
    with cache.step(f"building the image {name}"):
        bases = {"BASE": _base("vllm" if name == "engine" else "python")}
        if name == "router":
            bases["COMPILER"] = _base("compiler")
        _bud(ROOT / "images" / name / "Dockerfile", tag(name), ROOT, bases)
        _buildah("push", "--quiet", tag(name), f"docker-archive:{folder / name}.tar:{tag(name)}")


def _base(name: str) -> str:
    """The tag of a base that is in the store."""
    tagged = _base_tag(name)
    if not _buildah("images", "--quiet", "--filter", f"reference={tagged}"):
        arguments = {} if name == "python" else {"PYTHON": _base("python")}
        context = _root_files() if name == "python" else _BASES
        with cache.step(f"making the base {name}"):
            _bud(_BASES / f"{name}.Dockerfile", tagged, context, arguments)
    return tagged


def _base_tag(name: str) -> str:
    return f"localhost/heterofleet/{name}:{cache.digest(Path(__file__), *sorted(_BASES.iterdir()))}"


def _root_files() -> Path:
    """A folder with rootfs.tar: Debian's smallest system with Python."""

    def make(folder: Path) -> None:
        root = folder / "root"
        with cache.step(f"laying down Debian {_RELEASE} (80 MB)"):
            include = f"--include={','.join(_PACKAGES)}"
            _run("debootstrap", "--variant=minbase", include, _RELEASE, str(root), *_mirror())
        for unused in _UNUSED:
            shutil.rmtree(root / unused)
            (root / unused).mkdir()
        _run("tar", "--sort=name", "--numeric-owner", "-C", str(root), "-cf", str(folder / "rootfs.tar"), ".")
        shutil.rmtree(root)

    return cache.product(f"debian-python-{cache.digest(Path(__file__))}", make)


def _mirror() -> tuple[str, ...]:
    """Where this machine has the same release of Debian from, if it is one; else debootstrap takes Debian's own."""
    if shutil.which("apt-get") is None:
        return ()
    listed = _run("apt-get", "indextargets", "--format", "$(CODENAME) $(COMPONENT) $(REPO_URI)", "Created-By: Packages")
    places = (line.split() for line in listed.splitlines())
    return tuple(uri for release, part, uri in places if (release, part) == (_RELEASE, "main"))[:1]


def _bud(file: Path, tagged: str, context: Path, arguments: Mapping[str, str]) -> None:
    """Builds a Dockerfile; what it installs comes from where this machine's pip and apt find it."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "pip.conf"
        settings.write_text(_pip_settings())
        mounts = {settings: "/etc/pip.conf", _authorities(): _AUTHORITIES}
        mounted = [f"--volume={source}:{target}:ro" for source, target in mounts.items()]
        given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        options = ["--isolation=chroot", "--network=host", "--pull-never", "--layers", *given, *mounted]
        _buildah("bud", *options, "--file", str(file), "--tag", tagged, str(context))


def _pip_settings() -> str:
    """This machine's index and patience for pip, with the authorities where they are mounted."""
    listed = _run(sys.executable, "-m", "pip", "config", "list").splitlines()
    said = dict(line.split("=", 1) for line in listed)
    kept = {key.rpartition(".")[2]: value.strip("'\"") for key, value in said.items()}
    names = ("index-url", "extra-index-url", "trusted-host", "proxy", "default-timeout")
    lines = [f"{name} = {kept[name]}" for name in names if name in kept]
    return "\n".join(["[global]", f"cert = {_AUTHORITIES}", *lines, ""])


def _authorities() -> Path:
    named = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    return Path(named or "/etc/ssl/certs/ca-certificates.crt")


def _buildah(*arguments: str) -> str:
    store = cache.root() / "containers"
    where = (f"--root={store / 'storage'}", f"--runroot={store / 'run'}", "--storage-driver=overlay")
    return _run("buildah", *where, *arguments)


def _digest(name: str) -> str:
    """What stands for everything that an image is made of."""
    sources = (f"images/{name}",) if name == "engine" else (*_SOURCES, f"images/{name}")
    files = {path for source in sources for path in _files(ROOT / source)}
    contents = hashlib.sha256(_base_tag(name).encode())
    for path in sorted(files):
        contents.update(f"{path.relative_to(ROOT)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return contents.hexdigest()[:12]


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return [found for found in path.rglob("*") if found.is_file() and "__pycache__" not in found.parts]


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
