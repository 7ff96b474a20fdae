"""By which way the API server is reached, and what an unusable configuration says."""

from pathlib import Path

import pytest

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
