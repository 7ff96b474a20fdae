"""A model is brought once for all pods that share a volume, is continued, and is never believed half."""

import errno
import fcntl
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from heterofleet.supervisor import download, turn
from supervisor import kubelet
from supervisor.conftest import MakeContainer
from testbed.eventually import eventually

ARGUMENTS = [sys.executable, "-c", "import signal, sys; print(sys.argv[1:], flush=True); signal.pause()", "{model}"]
QUICK = turn.Clock(pause=0.02, heartbeat=0.05, stale=0.4)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of two files that vLLM loads and one it does not."""
    folder = tmp_path / "hub"
    for name, size in (("config.json", 10), ("model.safetensors", 5000), ("original/model.pth", 7000)):
        path = folder / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    monkeypatch.setenv("FAKE_HUB", str(folder))
    return folder


@pytest.fixture
def make_pod(make_container: MakeContainer, tmp_path: Path, hub: Path) -> Callable[..., kubelet.Container]:
    """Pods with one cache, which find the hub in their environment."""

    def make(source: str = "hf://org/model") -> kubelet.Container:
        assert hub.exists()
        return make_container(*ARGUMENTS, model_source=source, cache_dir=str(tmp_path / "cache"))

    return make


MakePod = Callable[..., kubelet.Container]


def downloads(hub: Path) -> int:
    return len((hub / "log").read_text().splitlines()) if (hub / "log").exists() else 0


def test_pods_on_one_volume_download_once_and_show_how_far_it_is(make_pod: MakePod, tmp_path, hub):
    pods = [make_pod() for _ in range(3)]
    eventually(lambda: [pod.status().get("phase") for pod in pods] == ["downloading"] * 3)
    eventually(lambda: downloads(hub) == 1)

    def shown() -> bool:
        seen = sorted((pod.status()["download"] or {}).get("state", "") for pod in pods)
        return seen == ["downloading", "waiting", "waiting"]

    eventually(shown)
    (loading,) = [pod.status()["download"] for pod in pods if pod.status()["download"]["state"] == "downloading"]
    assert (loading["total"], loading["bytes"] <= 5010) == (5010, True)
    assert [pod.probe("/startup") for pod in pods] == [503] * 3
    (hub / "go").touch()
    eventually(lambda: [pod.status().get("phase") for pod in pods] == ["starting"] * 3)
    folder = download.folder_of(tmp_path / "cache", "hf://org/model", "main")
    assert [pod.status()["model"] for pod in pods] == [{"path": str(folder), "revision": "0123abcd"}] * 3
    assert downloads(hub) == 1
    eventually(lambda: f"['{folder}', '--shutdown-timeout', '300']" in pods[0].output.read_text())
    kept = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert kept == [download.MARKER, "config.json", "model.safetensors"]


def test_a_model_that_is_complete_is_not_asked_for_again(make_pod: MakePod, tmp_path, hub):
    folder = download.folder_of(tmp_path / "cache", "hf://org/model", "main")
    folder.mkdir(parents=True)
    (folder / download.MARKER).write_text(json.dumps({"revision": "abc"}))
    pod = make_pod()
    eventually(lambda: pod.status().get("model") == {"path": str(folder), "revision": "abc"})
    assert downloads(hub) == 0


def test_a_download_that_was_cut_is_continued_by_the_next_life(make_pod: MakePod, tmp_path, hub):
    pod = make_pod()
    folder = download.folder_of(tmp_path / "cache", "hf://org/model", "main")
    first = folder / "config.json"
    eventually(first.exists)
    born = first.stat().st_mtime_ns
    pod.crash()
    eventually(lambda: pod.exits == [137])
    (hub / "go").touch()
    eventually(lambda: pod.status().get("phase") == "starting")
    assert (downloads(hub), first.stat().st_mtime_ns) == (2, born)


@pytest.mark.parametrize(
    ("obstacle", "source", "sentence"),
    [
        ("error", "hf://org/model", "hf://org/model was refused (RepositoryNotFoundError 401): is the name right,"),
        ("full", "hf://org/model", "the cache is full: [Errno 28] No space left on device"),
        ("", "ftp://org/model", "ftp://org/model: the scheme is none of hf, s3, file"),
        ("", "file:///no/such", "there is no folder /no/such in the pod"),
        ("", "s3://bucket/none", "s3://bucket/none holds no objects"),
    ],
)
def test_what_only_a_person_can_mend_ends_the_pod_with_that_sentence(
    make_pod: MakePod, hub, obstacle, source, sentence
):
    if obstacle:
        (hub / obstacle).write_text("401")
    pod = make_pod(source)
    assert eventually(lambda: list(pod.exits))[0] == 93
    assert pod.message().startswith(sentence)


def test_a_download_ends_with_its_pod(make_pod: MakePod, tmp_path, hub):
    pod = make_pod()
    eventually(lambda: downloads(hub) == 1)
    pod.delete()
    assert pod.wait_deleted() == 0


def test_a_mounted_model_is_taken_where_it_lies(make_pod: MakePod, tmp_path, hub):
    pod = make_pod(f"file://{hub / 'files'}")
    eventually(lambda: f"['{hub / 'files'}', '--shutdown-timeout', '300']" in pod.output.read_text())


def test_objects_of_a_store_that_are_here_in_full_are_kept(make_pod: MakePod, tmp_path, hub):
    bucket = hub / "bucket" / "m"
    bucket.mkdir(parents=True)
    (bucket / "config.json").write_text("{}")
    (bucket / "weights").write_text("w" * 100)
    folder = download.folder_of(tmp_path / "cache", "s3://bucket/m", "main")
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "weights.part").write_text("w")
    pod = make_pod("s3://bucket/m")
    eventually(lambda: pod.status().get("phase") == "starting")
    assert (hub / "log").read_text() == "m/weights\n"
    assert (folder / "weights").read_text() == "w" * 100


class TestTurn:
    """The lock by itself, with the file system's flock out of the way where a rule is about its absence."""

    @staticmethod
    def never() -> bool:
        return False

    def test_the_lease_goes_with_its_holder(self, tmp_path):
        with turn.Turn(tmp_path / "m", "a", ignore, QUICK).taken(self.never) as ours:
            assert (ours, (tmp_path / "m.lease").read_text()) == (True, "a")
        assert not (tmp_path / "m.lease").exists()

    def test_a_lease_that_is_renewed_is_respected_where_flock_is_not(self, tmp_path, monkeypatch):
        monkeypatch.setattr(fcntl, "flock", refuse)
        end = time.monotonic() + 3 * QUICK.stale
        with (
            turn.Turn(tmp_path / "m", "a", ignore, QUICK).taken(self.never),
            turn.Turn(tmp_path / "m", "b", ignore, QUICK).taken(lambda: time.monotonic() > end) as second,
        ):
            assert (second, (tmp_path / "m.lease").read_text()) == (False, "a")

    def test_a_lease_that_nobody_renews_is_taken(self, tmp_path):
        (tmp_path / "m.lease").write_text("dead")
        with turn.Turn(tmp_path / "m", "b", ignore, QUICK).taken(self.never) as ours:
            assert (ours, (tmp_path / "m.lease").read_text()) == (True, "b")

    def test_a_lease_of_one_s_former_life_is_taken_at_once(self, tmp_path):
        (tmp_path / "m.lease").write_text("a")
        with turn.Turn(tmp_path / "m", "a", ignore, QUICK._replace(stale=1e9)).taken(self.never) as ours:
            assert ours

    def test_who_waits_stops_when_the_model_is_there(self, tmp_path):
        (tmp_path / "m.lease").write_text("other")
        answers = iter([False, False, True])
        with turn.Turn(tmp_path / "m", "a", ignore, QUICK._replace(stale=1e9)).taken(lambda: next(answers)) as ours:
            assert not ours
        assert (tmp_path / "m.lease").read_text() == "other"


def ignore(_holder: str) -> None:
    """Nobody is told who holds the lease."""


def refuse(*_: object) -> None:
    """An NFS server without a lock daemon."""
    raise OSError(errno.ENOLCK, "No locks available")


def test_a_full_disk_is_seen_before_the_first_byte(tmp_path):
    with pytest.raises(download.FinalError, match=r"no room for the model in .*: 1000000000.0 GB are missing and"):
        download.check_room(tmp_path, 10**18)


def test_a_network_s_failure_is_tried_again_and_then_told():
    tries: list[int] = []

    def fail() -> str:
        tries.append(1)
        raise ConnectionError("reset by peer")

    with pytest.raises(download.DownloadError, match="hf://a: ConnectionError: reset by peer") as caught:
        download.attempt(fail, "hf://a", turn.Clock(pause=0))
    assert (len(tries), isinstance(caught.value, download.FinalError)) == (download.ATTEMPTS, False)


def test_sources_and_revisions_do_not_share_folders(tmp_path):
    pairs = [("hf://a/b", "main"), ("hf://a-b", "main"), ("hf://a/b", "v2"), ("s3://a/b", "main")]
    folders = {download.folder_of(tmp_path, source, revision) for source, revision in pairs}
    assert len(folders) == len(pairs)


@pytest.mark.parametrize("text", ["", "{", "{}", "[]"])
def test_a_torn_marker_is_none(tmp_path, text):
    (tmp_path / download.MARKER).write_text(text)
    assert download.finished(tmp_path) is None
