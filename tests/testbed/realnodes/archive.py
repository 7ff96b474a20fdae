"""Assembles an image archive from files of this machine, without registry or builder: for what is too small for one.

The archive is in OCI's layout, as `ctr images import` takes it. Its one layer holds the files, owned by root, dated 0.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

_KIND: Final = "application/vnd.oci.image"


def write(target: Path, name: str, files: Mapping[str, Path], *, command: Sequence[str], user: str = "") -> None:
    """Write the archive of an image of `files`, by their paths inside, that starts `command`."""
    layer = _layer(files)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": list(command), "User": user, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
    }
    described = json.dumps(config).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_KIND}.manifest.v1+json",
        "config": _reference("config.v1+json", described),
        "layers": [_reference("layer.v1.tar", layer)],
    }
    listed = json.dumps(manifest).encode()
    named = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
    index = {"schemaVersion": 2, "manifests": [{**_reference("manifest.v1+json", listed), "annotations": named}]}
    with tarfile.open(target, "w") as archive:
        _put(archive, "oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        _put(archive, "index.json", json.dumps(index).encode())
        for blob in (layer, described, listed):
            _put(archive, f"blobs/sha256/{_digest(blob).removeprefix('sha256:')}", blob)


def _layer(files: Mapping[str, Path]) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as layer:
        for path, source in sorted(files.items()):
            _put(layer, path.lstrip("/"), source.read_bytes(), source.stat().st_mode & 0o7777)
    return held.getvalue()


def _put(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))


def _reference(kind: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": f"{_KIND}.{kind}", "digest": _digest(blob), "size": len(blob)}


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"
