"""The engines behind every router: one nginx that says the same answer on several ports, on the core of the load."""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks.routerbench import bodies, children, cores

_MODELS: Final = '{"object":"list","data":[{"id":"engine","object":"model","owned_by":"engines"}]}'


def nginx_configuration(folder: Path, http: str) -> str:
    """An nginx with one worker that logs nothing and keeps all its files in `folder`; `http` says what it serves."""
    places = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "\n  ".join(f"{place}_temp_path {folder}/{place};" for place in places)
    return f"""daemon off; worker_processes 1; pid {folder}/pid; error_log stderr error; user root root;
events {{ worker_connections 8192; }}
http {{
  {paths}
  access_log off; tcp_nodelay on; client_body_buffer_size 64k;
  keepalive_timeout 600s; keepalive_requests 1000000000;
  {http}
}}
"""


def configuration(ports: Sequence[int], folder: Path) -> str:
    """One answer for /v1/chat/completions and whatever else is asked, and what routers ask engines about themselves."""
    listen = " ".join(f"listen 127.0.0.1:{port} backlog=4096;" for port in ports)
    server = f"""server {{
    {listen}
    default_type application/json;
    location / {{ return 200 '{bodies.ANSWER}'; }}
    location = /health {{ return 200 ''; }}
    location = /v1/models {{ return 200 '{_MODELS}'; }}
  }}"""
    return nginx_configuration(folder, server)


@contextlib.contextmanager
def answering(nginx: Path, ports: Sequence[int], parent: Path) -> Iterator[None]:
    """Engines at these ports, in a folder of their own."""
    folder = Path(tempfile.mkdtemp(prefix="engines-", dir=parent))
    written = folder / "nginx.conf"
    written.write_text(configuration(ports, folder))
    command = [str(nginx), "-e", "stderr", "-c", str(written)]
    with children.running("engines", command, core=cores.LOAD, folder=folder) as child:
        children.await_listening(child, ports[-1])
        yield
