"""A real Prometheus on a free loopback port, for tests and demo, which may stop, freeze and start it again.

    server = PrometheusServer(folder, rules=rules.file(), scrapes=targets(...))
    server.backfill(openmetrics)        days of history, before it starts
    with server: ...server.url...

Debian's package (2.42): `prometheus` serves, `promtool` writes blocks and tests rules.
"""

import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import yaml

from testbed import debian, ports
from testbed.eventually import eventually

Manifest = dict[str, Any]


class MissingError(Exception):
    """This machine has no Prometheus, and apt cannot bring it; the reason has been printed."""


def promtool() -> Path:
    """The path of promtool. Raises MissingError."""
    found = debian.tool("promtool")
    if found is None:
        raise MissingError
    return found


def targets(job: str, addresses: Sequence[str], **labels: str) -> Manifest:
    """A scrape configuration of fixed addresses (HOST:PORT), whose series get these labels."""
    return {"job_name": job, "static_configs": [{"targets": list(addresses), "labels": labels}]}


class PrometheusServer:
    """One server, whose data and configuration lie in `folder`.

    It takes samples that are older than the newest by `takes_older` at most; by default, none that is older.
    """

    def __init__(
        self,
        folder: Path,
        *,
        scrapes: Sequence[Manifest] = (),
        rules: Manifest | None = None,
        interval: str = "1s",
        lookback: str = "5m",
        takes_older: str = "0s",
        port: int | None = None,
    ) -> None:
        program = debian.tool("prometheus")
        if program is None:
            raise MissingError
        folder.mkdir(parents=True, exist_ok=True)
        self.port = ports.free(1)[0] if port is None else port
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder, self._data = folder, folder / "data"
        self._configure(scrapes, rules, interval, takes_older)
        self._command = [
            # It ends with the tests, however they end.
            *("setpriv", "--pdeathsig", "KILL", str(program)),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._data}",
            "--storage.tsdb.retention.time=90d",
            f"--web.listen-address=127.0.0.1:{self.port}",
            f"--query.lookback-delta={lookback}",
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def backfill(self, openmetrics: str) -> None:
        """Writes history, as text with time stamps in seconds, into blocks; the server must not run."""
        text = self._folder / "history.txt"
        text.write_text(openmetrics.rstrip() + "\n# EOF\n", "utf-8")
        self._data.mkdir(exist_ok=True)
        subprocess.run(
            [str(promtool()), "tsdb", "create-blocks-from", "openmetrics", str(text), str(self._data)],
            check=True,
            capture_output=True,
        )

    def start(self) -> None:
        with (self._folder / "prometheus.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        eventually(self._is_ready, message=lambda: (self._folder / "prometheus.log").read_text()[-2000:])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    def freeze(self) -> None:
        """It keeps its connections and answers nothing, as a machine does that hangs."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _configure(self, scrapes: Sequence[Manifest], rules: Manifest | None, interval: str, takes_older: str) -> None:
        configuration: Manifest = {
            "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
            "scrape_configs": list(scrapes),
            "storage": {"tsdb": {"out_of_order_time_window": takes_older}},
        }
        if rules is not None:
            (self._folder / "rules.yml").write_text(yaml.safe_dump(rules, sort_keys=False), "utf-8")
            configuration["rule_files"] = ["rules.yml"]
        (self._folder / "prometheus.yml").write_text(yaml.safe_dump(configuration, sort_keys=False), "utf-8")

    def _is_ready(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError((self._folder / "prometheus.log").read_text()[-2000:])
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                ready: bool = answer.status == 200
                return ready
        except (urllib.error.URLError, OSError):
            return False
