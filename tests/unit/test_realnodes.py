"""What real nodes are given, as far as it can be seen without being root."""

import hashlib
import json
import tarfile
from pathlib import Path

from testbed.realnodes import archive, settings


def test_an_archive_holds_its_files_and_names_every_blob_by_its_digest(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    program.chmod(0o755)
    target = tmp_path / "image.tar"
    archive.write(target, "testbed.local/pause:1", {"/pause": program}, command=["/pause"], user="65535:65535")
    with tarfile.open(target) as image:
        contents = {name: _read(image, name) for name in image.getnames()}
    blobs = {name: body for name, body in contents.items() if name.startswith("blobs/")}
    index = json.loads(contents["index.json"])["manifests"][0]
    manifest = json.loads(_blob(contents, index["digest"]))
    config = json.loads(_blob(contents, manifest["config"]["digest"]))
    assert [name for name, body in blobs.items() if not name.endswith(hashlib.sha256(body).hexdigest())] == []
    assert index["annotations"]["io.containerd.image.name"] == "testbed.local/pause:1"
    assert config["config"] == {"Entrypoint": ["/pause"], "User": "65535:65535", "WorkingDir": "/"}
    layer = tmp_path / "layer.tar"
    layer.write_bytes(_blob(contents, manifest["layers"][0]["digest"]))
    with tarfile.open(layer) as files:
        assert [(file.name, file.mode, file.uid, file.mtime) for file in files] == [("pause", 0o755, 0, 0)]


def _read(image: tarfile.TarFile, name: str) -> bytes:
    held = image.extractfile(name)
    assert held is not None
    return held.read()


def _blob(contents: dict[str, bytes], digest: str) -> bytes:
    return contents[f"blobs/sha256/{digest.removeprefix('sha256:')}"]


def test_nodes_share_neither_addresses_nor_folders(tmp_path: Path) -> None:
    said = [
        {
            "pods": network["plugins"][0]["ipam"]["ranges"],
            "leases": network["plugins"][0]["ipam"]["dataDir"],
            "containerd": settings.containerd(folder, "/usr/sbin/runc", Path("/usr/lib/cni")),
        }
        for index, folder in enumerate((tmp_path / "real-0", tmp_path / "real-1"))
        for network in [settings.network(f"real-{index}", index, folder)]
    ]
    assert [key for key in said[0] if said[0][key] == said[1][key]] == []
