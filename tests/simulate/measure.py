"""What the simulated engine costs: `PYTHONPATH=operator:tests python -m simulate.measure` prints JSON.

An engine on the `tiny` profile runs in a process of its own and is asked over loopback by raw connections that send one
request after the other; CPU time is the server's, from /proc, so that a busy machine does not matter to it.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from heterofleet.simulate import profile
from heterofleet.simulate.engine import Engine
from heterofleet.simulate.events import Arrival

_START = "import sys; from heterofleet.cli.main import main; sys.exit(main())"


def cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def client(host: str, port: int, body: dict[str, Any], times: int) -> None:
    reader, writer = await asyncio.open_connection(host, port, limit=2**24)
    encoded = json.dumps({"model": "small", **body}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(encoded)}\r\n\r\n"
    ending = b"0\r\n\r\n" if body.get("stream") else None
    for _ in range(times):
        writer.write(head.encode() + encoded)
        answered = await reader.readuntil(b"\r\n\r\n")
        if ending is not None:
            await reader.readuntil(b"data: [DONE]\n\n\r\n" + ending)
        else:
            length = int(answered.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
    writer.close()
    await writer.wait_closed()


async def load(process: int, port: int, body: dict[str, Any], clients: int, times: int) -> tuple[float, float]:
    """Wall and CPU seconds of so many requests."""
    before, began = cpu_seconds(process), time.perf_counter()
    await asyncio.gather(*(client("127.0.0.1", port, body, times) for _ in range(clients)))
    return time.perf_counter() - began, cpu_seconds(process) - before


def served() -> dict[str, float]:
    """Requests a second of 8 tokens, and what a request and a streamed token cost in CPU."""
    command = [sys.executable, "-c", _START, "engine-sim", "--served-model-name", "small", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            return _asked(process)
        finally:
            process.terminate()


def _asked(process: subprocess.Popen[str]) -> dict[str, float]:
    assert process.stdout is not None
    port = int(process.stdout.readline().rpartition(":")[2])
    messages = [{"role": "user", "content": "x" * 1_000}]
    short = {"messages": messages, "max_tokens": 8, "ignore_eos": True}
    long = {"messages": messages, "max_tokens": 500, "ignore_eos": True, "stream": True}
    asyncio.run(load(process.pid, port, short, 16, 50))
    wall, cpu = asyncio.run(load(process.pid, port, short, 64, 200))
    streamed_wall, streamed = asyncio.run(load(process.pid, port, long, 32, 4))
    idle = cpu_seconds(process.pid)
    time.sleep(2)
    idle = cpu_seconds(process.pid) - idle
    return {
        "requests_per_second": round(64 * 200 / wall),
        "cpu_us_per_request": round(cpu / (64 * 200) * 1e6, 1),
        "requests_per_cpu_second": round(64 * 200 / cpu),
        "streamed_tokens_per_second": round(32 * 4 * 500 / streamed_wall),
        "cpu_us_per_streamed_token": round(streamed / (32 * 4 * 500) * 1e6, 1),
        "cpu_seconds_in_2_seconds_of_rest": idle,
    }


def simulated(requests: int = 100_000) -> dict[str, float]:
    """How much virtual traffic a second of CPU plays."""
    drawn = random.Random(1)
    engine, now = Engine(profile.load()["a100-tp8-70b"]), 0.0
    began = time.process_time()
    for number in range(requests):
        now += drawn.expovariate(3.0)
        engine.submit(now, Arrival(number, drawn.randint(50, 1_000), drawn.randint(10, 400)))
        engine.advance(now)
    while (due := engine.next_event()) is not None:
        engine.advance(due)
    cpu = time.process_time() - began
    return {"cpu_seconds_for_100000_requests": round(cpu, 2), "tokens_per_cpu_second": engine.totals().generated // cpu}


if __name__ == "__main__":
    sys.stdout.write(json.dumps({**served(), **simulated()}, indent=1) + "\n")
