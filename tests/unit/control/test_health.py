"""What the kubelet and Prometheus are answered."""

import aiohttp

from heterofleet.control import health


async def ask(probes: health.Probes, path: str) -> tuple[int, str]:
    async with (
        health.serve("127.0.0.1", 0, probes) as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}") as response,
    ):
        return response.status, await response.text()


def probes(*, synced: bool = True, silence: float = 0) -> health.Probes:
    return health.Probes(lambda: synced, lambda: silence, lambda: b"metric 1\n")


async def test_ready_once_the_caches_are_filled() -> None:
    assert await ask(probes(synced=False), "/readyz") == (503, "the caches are not filled yet\n")
    assert await ask(probes(), "/readyz") == (200, "ok\n")


async def test_unhealthy_when_a_watch_was_silent_for_too_long() -> None:
    assert await ask(probes(silence=599), "/healthz") == (200, "ok\n")
    assert await ask(probes(silence=700), "/healthz") == (
        503,
        "nothing was heard from a watch for 700 s\n",
    )


async def test_metrics_are_exposed() -> None:
    assert await ask(probes(), "/metrics") == (200, "metric 1\n")
