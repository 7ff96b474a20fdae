"""A Hugging Face Hub of local folders, on the bed's own network: what engines there can download models from.

Answers what `huggingface_hub` asks for a snapshot: a model's commit and files, and each file by commit and name. Of
some models it tells other sizes than they have, as a hub does not: so that a disk is found too small before the first
byte, or in the middle.
"""

import http.server
import json
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

COMMIT: Final = "0123456789abcdef0123456789abcdef01234567"
_API: Final = "/api/models/"
_RESOLVE: Final = f"/resolve/{COMMIT}/"


@contextmanager
def serving(address: str, models: Path, told: Mapping[str, int | None]) -> Iterator[str]:
    """Serves each folder NAME of `models` as `hub/NAME`; yields the URL. `told`: bytes told of each of its files."""

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urllib.parse.urlsplit(self.path).path
            if path.startswith(_API):
                _, model, question, *_ = path.removeprefix(_API).split("/")
                self._tell(model, tree=question == "tree")
            elif _RESOLVE in path:
                self._give(path)
            else:
                self.send_error(404)

        do_HEAD = do_GET  # noqa: N815

        def _tell(self, model: str, *, tree: bool) -> None:
            files = sorted(path for path in (models / model).glob("*") if path.is_file())
            if not files:
                self.send_error(404)
                return
            listed = [{"type": "file", "path": f.name, "size": f.stat().st_size, "oid": f.name} for f in files]
            siblings = [{"rfilename": f.name, "size": told.get(model, f.stat().st_size)} for f in files]
            said = listed if tree else {"id": f"hub/{model}", "sha": COMMIT, "siblings": siblings}
            self._answer(json.dumps(said).encode(), {"Content-Type": "application/json"})

        def _give(self, path: str) -> None:
            repository, _, name = path.partition(_RESOLVE)
            file = models / repository.rpartition("/")[2] / name
            if not file.is_file():
                self.send_error(404)
                return
            self._answer(file.read_bytes(), {"ETag": f'"{name}"', "X-Repo-Commit": COMMIT})

        def _answer(self, body: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(200)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """A download is no news."""

    server = http.server.ThreadingHTTPServer((address, 0), Hub)
    thread = threading.Thread(target=server.serve_forever, name="the hub", daemon=True)
    thread.start()
    try:
        yield f"http://{address}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
