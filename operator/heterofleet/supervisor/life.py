"""One life of a rank, from the start of the container to its exit code: fetch, gather, start, watch, leave."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from . import causes, group, settings
from .ask import Engine, Peer
from .group import Code, Over, Phase, Report
from .process import Process, reap
from .records import History, write_message
from .server import Answer, Server

TICK_SECONDS = 0.1
BREAK_SECONDS = 5.0
"""How long a broken engine may take to go by itself; its requests are lost anyway."""
FAREWELL_SECONDS = 3.0
"""How long we go on saying that we are over, for peers that have not heard it."""
SUPERVISOR = str(Path(__file__).absolute().parent)


def say(sentence: str) -> None:
    sys.stderr.write(f"supervisor: {sentence}\n")
    sys.stderr.flush()


class Drain(NamedTuple):
    """Since when (monotonic) and why the running requests are the last, and whether the engine was told."""

    since: float
    code: Code
    cause: str
    asked: bool = False


class Model(NamedTuple):
    """Where the model lies in this container and which state of it."""

    path: str
    revision: str


class Signals:
    """Notes when we are told to stop, and wakes the loop when a child ends."""

    def __init__(self) -> None:
        self.stop_at: float | None = None
        self._wake, self._write = socket.socketpair()
        self._wake.setblocking(False)
        self._write.setblocking(False)
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def _stop(self, *_: object) -> None:
        self.stop_at = self.stop_at or time.monotonic()

    def wait(self) -> None:
        """Returns after a tick, or at once after a signal."""
        select.select([self._wake], [], [], TICK_SECONDS)
        with contextlib.suppress(BlockingIOError):
            self._wake.recv(4096)


class Life:
    """Its fields are written by the main thread alone; the server's threads read them."""

    def __init__(self, place: settings.Settings, command: Sequence[str]) -> None:
        self._place, self._command = place, command
        self._epoch = f"{time.time():.3f}-{uuid.uuid4().hex[:12]}"
        self._history = History(place.run_dir / "heterofleet-lives.json")
        self._signals = Signals()
        self._phase, self._sentence = Phase.DOWNLOADING, ""
        self._members: Mapping[int, str] | None = None
        self._model: Model | None = None
        self._download: Process | None = None
        self._process: Process | None = None
        self._engine: Engine | None = None
        self._drain: Drain | None = None
        self._peers: Mapping[int, Peer] = {}
        self._heard_farewell: set[int] = set()

    def run(self) -> int:
        """Lives once and returns the container's exit code."""
        try:
            self._serve()
            self._fetch()
            self._gather()
            self._start()
            self._watch()
        except Over as over:
            return self._leave(over)
        finally:
            for process in self._processes():
                process.kill()

    # What others see.

    def _serve(self) -> None:
        try:
            Server((self._place.bind, self._place.port), self.respond)
        except OSError as error:
            raise Over(Code.CONFIGURATION, f"port {self._place.port} cannot be served: {error}") from error
        asked = range(1, self._place.pods) if self._place.index == 0 else (0,)
        self._peers = {index: Peer(self._place, index) for index in asked}

    def respond(self, path: str, query: Mapping[str, str]) -> Answer:
        """Answers from what is known now, so that no probe waits and none adds load."""
        if path == "/epoch":
            if self._phase is Phase.STOPPED and query.get("from", "").isdigit():
                self._heard_farewell.add(int(query["from"]))
            return Answer(200, self._report().to_json())
        if path == "/live":
            return Answer(200, {"phase": self._phase.value})
        if path == "/status":
            return Answer(200, self._status())
        if path not in ("/startup", "/ready"):
            return Answer(404, {"error": "ask /startup, /ready, /live, /status or /epoch"})
        obstacle = self._startup_obstacle() or (self._ready_obstacle() if path == "/ready" else "")
        return Answer(503 if obstacle else 200, {"phase": self._phase.value, "sentence": obstacle})

    def _report(self) -> Report:
        place = self._place
        revision = self._model.revision if self._model else ""
        return Report(place.group, place.index, self._epoch, self._phase, self._members, revision)

    def _views(self) -> group.Views:
        return {index: peer.view() for index, peer in self._peers.items()}

    def _startup_obstacle(self) -> str:
        if self._phase not in (Phase.STARTING, Phase.SERVING, Phase.DRAINING):
            return self._sentence or self._phase.value
        if self._place.index == 0 and (self._engine is None or not self._engine.proven):
            return self._engine.sentence if self._engine else "the engine has not been started"
        return ""

    def _ready_obstacle(self) -> str:
        if self._phase is Phase.DRAINING:
            return "it drains"
        if self._engine is not None and not self._engine.healthy:
            return self._engine.sentence
        silent = group.lost(self._views(), self._place.limits) if self._place.index == 0 else []
        return f"rank {silent[0]} does not answer" if silent else ""

    def _status(self) -> dict[str, Any]:
        views, members = self._views(), self._members or {}
        return {
            "pod": self._place.pod,
            "index": self._place.index,
            "epoch": self._epoch,
            "phase": self._phase.value,
            "sentence": self._sentence or self._startup_obstacle(),
            "agreed": self._members is not None
            and not group.lost(views, self._place.limits)
            and all(view.report is not None and view.report.epoch == members.get(i) for i, view in views.items()),
            "members": self._members,
            "peers": {index: _peer_status(view) for index, view in views.items()},
            "download": _progress(self._download),
            "model": self._model._asdict() if self._model else None,
            "lives": self._history.lives,
            "last_exit": self._history.last_exit,
            "draining_since_seconds": time.monotonic() - self._drain.since if self._drain else None,
        }

    # The five acts.

    def _fetch(self) -> None:
        place = self._place
        if not place.source:
            return
        # Pod names repeat in other namespaces, which may share a node's folder; an address does not.
        owner = f"{place.pod}.{place.pod_ip}"
        arguments = [sys.executable, SUPERVISOR, "download", place.source, place.revision, place.cache, owner]
        self._download = Process(arguments, os.environ, echo_stdout=False)
        say(f"bringing {place.source} at {place.revision}")
        while self._download.code() is None:
            self._wait_unstarted()
        self._download.kill()
        last = _progress(self._download) or {}
        if self._download.code() != 0:
            cause = str(last.get("error") or f"the download ended with code {self._download.code()}")
            raise Over(Code.NO_MODEL, cause)
        self._model = Model(last["path"], last["revision"])
        say(f"the model is in {self._model.path}")

    def _gather(self) -> None:
        self._phase, said = Phase.WAITING, ""
        while True:
            gathered = group.gather(self._report(), self._views(), self._place.limits)
            if gathered.members is not None:
                self._members, self._sentence = gathered.members, ""
                return
            self._sentence = f"waiting: {gathered.sentence}"
            if self._sentence != said:
                said = self._sentence
                say(said)
            self._wait_unstarted()

    def _wait_unstarted(self) -> None:
        self._tick()
        if self._signals.stop_at is not None:
            raise Over(Code.DONE, "told to stop before the engine was started")

    def _start(self) -> None:
        keys, config = settings.read_keys(self._place.keys), None
        if keys:
            config = self._place.run_dir / "heterofleet-engine.yaml"
            settings.write_keys(config, keys)
        leader = self._peers[0].last_address if self._place.index > 0 else self._place.pod_ip
        path = self._model.path if self._model else None
        line = settings.command_line(self._command, self._place, model=path, leader=leader, config=config)
        say(f"starting {' '.join(line)}")
        self._process = Process(line, {**os.environ, "VLLM_HOST_IP": self._place.pod_ip})
        self._phase = Phase.STARTING
        if self._place.index == 0:
            self._engine = Engine(self._place, keys[0] if keys else None)

    def _watch(self) -> NoReturn:
        while True:
            self._tick()
            self._see_end()
            stop_at = self._signals.stop_at
            if stop_at is not None:
                self._begin_drain(Drain(stop_at, Code.DONE, "told to stop"))
            watched = group.watch(self._report(), self._views(), self._place.limits)
            if watched.verdict is group.Verdict.LEAVE:
                raise Over(watched.code, watched.sentence)
            if watched.verdict is group.Verdict.DRAIN:
                self._begin_drain(Drain(time.monotonic(), watched.code, watched.sentence))
            if self._drain is not None:
                self._continue_drain(self._drain)
            elif self._phase is Phase.STARTING and self._serves():
                self._phase = Phase.SERVING
                say("serving")

    def _serves(self) -> bool:
        if self._engine is not None:
            return self._engine.proven
        leader = self._peers[0].view().report
        return leader is not None and leader.phase is Phase.SERVING

    def _see_end(self) -> None:
        code = self._process.code() if self._process else None
        if self._process is None or code is None:
            return
        # Its last words come before ours.
        self._process.kill()
        if self._drain is not None and self._drain.asked:
            raise Over(self._drain.code, self._drain.cause)
        cause = causes.of(self._process.last_lines())
        sentence = f"the engine ended by itself with code {code}" + (f": {cause}" if cause else "")
        raise Over(code or Code.ENGINE_ENDED, sentence)

    def _begin_drain(self, drain: Drain) -> None:
        if self._drain is not None:
            return
        if self._phase is Phase.STARTING and self._place.index == 0:
            raise Over(drain.code, f"{drain.cause} before it served")
        self._drain, self._phase, self._sentence = drain, Phase.DRAINING, f"drains: {drain.cause}"
        say(self._sentence)

    def _continue_drain(self, drain: Drain) -> None:
        step = group.drain(self._place.index, time.monotonic() - drain.since, self._place.drain_seconds)
        if step is group.Step.KILL:
            raise Over(drain.code, f"{drain.cause}; not drained in time")
        if step is group.Step.SIGNAL and not drain.asked and self._process is not None:
            self._drain = drain._replace(asked=True)
            self._process.ask()

    def _leave(self, over: Over) -> int:
        """Tells the peers at once that this rank is over, ends the engine, and stays until they have heard it."""
        listening = {
            index
            for index, (report, age, _) in self._views().items()
            if report is not None and report.phase is not Phase.STOPPED and age <= self._place.limits.fresh_seconds
        }
        self._phase, self._sentence = Phase.STOPPED, over.cause
        said_at = time.monotonic()
        code = over.code if self._signals.stop_at is None else Code.DONE
        say(f"over with code {int(code)}: {over.cause}")
        self._end_processes(said_at)
        if code != Code.DONE:
            own = self._process is not None and self._process.code() == over.code
            lines = self._process.last_lines() if own and self._process else []
            write_message(self._place.termination_log, over.cause, lines)
        self._history.end(code, over.cause)
        while not listening <= self._heard_farewell and time.monotonic() < said_at + FAREWELL_SECONDS:
            self._tick()
        return code

    def _end_processes(self, since: float) -> None:
        for process in self._processes():
            process.ask()
        while any(process.code() is None for process in self._processes()):
            self._tick()
            if time.monotonic() > since + BREAK_SECONDS:
                break
        for process in self._processes():
            process.kill()

    def _tick(self) -> None:
        self._signals.wait()
        reap(self._processes())

    def _processes(self) -> list[Process]:
        return [process for process in (self._download, self._process) if process is not None]


def _peer_status(view: group.View) -> dict[str, Any]:
    report, age, silent = view
    if report is None:
        return {"epoch": None, "phase": None, "age_seconds": None, "silent_seconds": round(silent, 1)}
    return {
        "epoch": report.epoch,
        "phase": report.phase.value,
        "age_seconds": round(age, 1),
        "silent_seconds": round(silent, 1),
    }


def _progress(download: Process | None) -> dict[str, Any] | None:
    """The download's last word; its libraries may write beside it."""
    for line in reversed(download.last_lines() if download else []):
        with contextlib.suppress(ValueError):
            word = json.loads(line)
            if isinstance(word, dict) and "state" in word:
                return word
    return None


def main(command: Sequence[str]) -> int:
    try:
        place = settings.read(os.environ)
    except Over as over:
        say(over.cause)
        path = os.environ.get("HETEROFLEET_TERMINATION_LOG") or settings.TERMINATION_LOG
        write_message(Path(path), over.cause, [])
        return over.code
    try:
        return Life(place, command).run()
    except Exception as error:
        write_message(place.termination_log, f"the supervisor failed: {error!r}", traceback.format_exc().splitlines())
        raise
