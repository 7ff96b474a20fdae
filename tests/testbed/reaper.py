"""Ends the processes of one cluster's folder, also when whoever started them was killed without a chance to.

The components are daemons of their own. This file runs as a small process whose standard input is a pipe from the
owner: when the pipe closes, by ``Cluster.stop`` or by the owner's death, whatever runs from the folder is killed
and the folder removed. It imports the standard library only, so that it can be started as a plain file.
"""

import os
import shutil
import signal
import sys
import time
from pathlib import Path


def reap(workdir: Path) -> None:
    """Kill every process started from a cluster's folder, wait until they are gone, remove the folder."""
    deadline = time.monotonic() + 20
    while (found := processes(workdir)) and time.monotonic() < deadline:
        for process in found:
            _kill(process)
        time.sleep(0.05)
    shutil.rmtree(workdir, ignore_errors=True)


def processes(workdir: Path) -> list[int]:
    """The ids of the running processes whose program lies in the folder."""
    prefix = f"{workdir}{os.sep}"
    return [process for process in _all_processes() if _program(process).startswith(prefix)]


def _all_processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _program(process: int) -> str:
    try:
        command = Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:  # It ended since it was listed.
        return ""
    return command.split(b"\0", 1)[0].decode(errors="replace")  # A zombie's command line is empty.


def _kill(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return


def main() -> None:
    """Wait for the end of standard input, then reap the folder named by the only argument."""
    # Ctrl-C reaches the whole foreground group; the owner decides when its cluster ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdin.buffer.read()
    reap(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
