"""By which way the API server is reached, and what an unusable configuration says."""

import asyncio
import contextlib
import gc
import sys
from pathlib import Path

import pytest
from aiohttp import web

from heterofleet.cluster import connection, errors

SERVER = "https://10.96.0.1:443"


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "10.96.0.1"}, None),
        ({"HTTP_PROXY": "http://proxy:3128"}, None),
    ],
)
def test_the_environments_proxy_is_that_of_kubectl(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], proxy: str | None
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert connection._environments_proxy(SERVER) == proxy


@pytest.mark.parametrize("text", ["", "not: [a, kubeconfig", "clusters: []\n"])
async def test_an_unusable_kubeconfig_is_unavailable_with_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(errors.Unavailable, match="kubeconfig: "):
        async with connection.connect(path):
            pass


async def test_a_watch_that_is_left_leaves_nothing_to_the_garbage_collector(tmp_path: Path) -> None:
    async def watch(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"type":"ADDED"}\n' * 3)
        await asyncio.Event().wait()
        return response

    runner = web.ServerRunner(web.Server(watch), shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    abandoned: list[str] = []
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(finalizer=lambda generator: abandoned.append(generator.__name__))
    try:
        async with connection.connect(_kubeconfig(tmp_path, f"http://127.0.0.1:{runner.addresses[0][1]}")) as link:
            async with contextlib.aclosing(link.stream("/watch", {}, 5)) as lines:
                assert await anext(lines) == b'{"type":"ADDED"}'
            gc.collect()
    finally:
        sys.set_asyncgen_hooks(*hooks)
        await runner.cleanup()
    assert abandoned == []


def _kubeconfig(folder: Path, server: str) -> Path:
    path = folder / "kubeconfig"
    path.write_text(
        f"""apiVersion: v1
kind: Config
current-context: only
contexts: [{{name: only, context: {{cluster: only, user: only}}}}]
clusters: [{{name: only, cluster: {{server: "{server}"}}}}]
users: [{{name: only, user: {{}}}}]
"""
    )
    return path


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (400, "BadRequest", errors.Invalid),
        (401, "Unauthorized", errors.Forbidden),
        (403, "Forbidden", errors.Forbidden),
        (404, "NotFound", errors.NotFound),
        (409, "Conflict", errors.Conflict),
        (409, "AlreadyExists", errors.AlreadyExists),
        (410, "Expired", errors.Gone),
        (422, "Invalid", errors.Invalid),
        (429, "TooManyRequests", errors.Throttled),
        (500, "InternalError", errors.Unavailable),
        (504, "Timeout", errors.Unavailable),
        (418, "", errors.ClusterError),
    ],
)
def test_an_answer_has_its_error(status: int, reason: str, kind: type[errors.ClusterError]) -> None:
    error = errors.from_answer(status, "the sentence", reason, 3.0)
    assert (type(error), str(error), error.status) == (kind, "the sentence", status)
