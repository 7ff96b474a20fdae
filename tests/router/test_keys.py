"""Clients' and engines' keys of a router as they are mounted: who gets in, and what happens when Secrets change."""

import hashlib
from pathlib import Path

import orjson
import pytest

from heterofleet.router.keyring import Keyring
from heterofleet.router.snapshot import Rejected
from router.engines import engine, says
from router.running import asked, config, running, started

AUTH = {"keysSecret": "clients"}


def mount(folder: Path, **texts: str) -> Path:
    """A Secret as the kubelet mounts it: entries, and folders of its own that begin with dots."""
    folder.mkdir(exist_ok=True)
    (folder / "..data").mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)
    return folder


def hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest() + "\n"


def bearer(key: str) -> str:
    return f"authorization: Bearer {key}"


async def test_only_who_has_a_key_gets_in_and_the_key_stays_here(tmp_path: Path):
    mount(tmp_path / "keys", blue=hashed("sesame"))
    async with engine(says("Hello")) as small, running(tmp_path, config([small], auth=AUTH)) as router:
        refused = await router.ask()
        assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert (await router.ask("act", bearer("other"))).status == 401
        assert (await router.ask("act", bearer("sesame"))).status == 200
        assert [received.headers.get("authorization") for received in asked(small)] == [None]
        assert (await router.log(3))[2]["tenant"] == "blue"


async def test_engines_are_asked_with_the_current_key_of_the_ring(tmp_path: Path):
    mount(tmp_path / "engine-keys", current="one\n", next="two\n")
    async with engine(says("Hello")) as small, running(tmp_path, config([small])) as router:
        await router.ask("act", bearer("a client's own"))
        assert asked(small)[0].headers["authorization"] == "Bearer one"


def test_a_ring_that_turns_is_followed_and_one_that_is_gone_stays_in_force(tmp_path: Path):
    ring = Keyring(tmp_path / "keys", mount(tmp_path / "ring", current="one\n", next="two\n"))
    ring.look()
    assert ring.engine == b"one"
    mount(tmp_path / "ring", current="two\n", next="three\n")
    ring.look()
    assert ring.engine == b"two"
    for entry in ("current", "next"):
        (tmp_path / "ring" / entry).unlink()
    ring.look()
    assert ring.engine == b"two"


def test_without_an_entry_called_current_the_first_of_the_ring_is_used(tmp_path: Path):
    ring = Keyring(tmp_path / "keys", mount(tmp_path / "ring", b="second", a=" \n", c="third"))
    ring.look()
    assert ring.engine == b"second"


def test_new_clients_get_in_and_a_secret_that_cannot_be_read_locks_nobody_out(tmp_path: Path):
    ring = Keyring(mount(tmp_path / "keys", blue=hashed("old")), tmp_path / "ring")
    ring.clients = ring.first_clients()
    mount(tmp_path / "keys", blue=hashed("new"), red=hashed("other"))
    ring.look()
    assert ring.clients is not None
    assert [ring.clients.tenant_of(f"Bearer {key}") for key in ("old", "new", "other")] == [None, "blue", "red"]
    mount(tmp_path / "keys", blue="no hash")
    ring.look()
    assert [ring.clients.tenant_of(f"Bearer {key}") for key in ("new", "other")] == ["blue", "red"]


def test_where_anyone_may_ask_mounted_keys_are_not_read(tmp_path: Path):
    ring = Keyring(mount(tmp_path / "keys", blue=hashed("sesame")), tmp_path / "ring")
    ring.look()
    assert ring.clients is None


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (None, "cannot be read: No such file or directory"),
        ({"blue": "sesame"}, "line 1 of tenant blue is not a SHA-256 in hex"),
    ],
)
def test_keys_that_cannot_be_read_at_first_are_refused_and_never_shown(
    tmp_path: Path, texts: dict[str, str] | None, sentence: str
):
    if texts is not None:
        mount(tmp_path / "keys", **texts)
    with pytest.raises(Rejected, match=sentence) as told:
        Keyring(tmp_path / "keys", tmp_path / "ring").first_clients()
    assert "sesame" not in str(told.value)


async def test_a_router_whose_keys_are_mounted_later_serves_from_then_on(tmp_path: Path):
    async with engine(says("Hello")) as small, started(tmp_path, config([small], auth=AUTH)) as router:
        ready = await router.admin("/readyz")
        assert ready.status == 503
        assert ready.body.startswith(b"no configuration is in force: auth.keysSecret: the keys in ")
        report = orjson.loads((await router.admin("/config")).body)
        assert report["digest"] == ""
        assert report["error"].startswith("auth.keysSecret: ")
        mount(tmp_path / "keys", blue=hashed("sesame"))
        await router.router.listening.wait()
        assert (await router.admin("/readyz")).status == 200
        assert (await router.ask("act", bearer("sesame"))).status == 200
        assert await router.metrics("config_rejections_total") == {(): 1}


async def test_keys_that_are_asked_for_by_a_later_configuration_are_in_force_with_it(tmp_path: Path):
    mount(tmp_path / "keys", blue=hashed("sesame"))
    async with engine(says("Hello")) as small, running(tmp_path, config([small])) as router:
        assert (await router.ask()).status == 200
        router.reconfigure(config([small], auth=AUTH))
        while (refused := await router.ask()).status == 200:
            pass
        assert refused.status == 401
