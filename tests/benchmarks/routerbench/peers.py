"""The peers: nginx, vllm-router and LiteLLM, and the direct way without any router.

Each is set up as its own documentation says for speed, without an access log. Python packages are installed once into
environments of their own in the user's cache, with their versions pinned.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.routerbench import engines
from benchmarks.routerbench.systems import System
from testbed import cache

VLLM_ROUTER: Final = "vllm-router==0.1.17"
LITELLM: Final = "litellm[proxy]==1.83.14"
UPSTREAM_CONNECTIONS: Final = 256


def environment(requirement: str) -> Path | None:
    """The Python of an environment that holds a package; None, having said why, where it cannot be installed."""
    name = requirement.replace("[", "-").replace("]", "").replace("==", "-")
    try:
        folder = cache.product(name, lambda unfinished: _install(requirement, unfinished))
    except subprocess.CalledProcessError as exc:
        said = (exc.stderr or "").strip().splitlines()
        cache.say(f"skipping {requirement}: pip could not install it: {said[-1] if said else exc}")
        return None
    return folder / "bin" / "python"


def direct(port: int, body: str) -> System:
    """The engines themselves, which shows what load and engines can do together on their core."""
    return System("direct", (), port, body)


def nginx(program: Path, port: int, targets: Sequence[int], body: str) -> System:
    """A plain proxy with kept connections."""
    servers = " ".join(f"server 127.0.0.1:{target};" for target in targets)
    http = f"""upstream engines {{ {servers} keepalive {UPSTREAM_CONNECTIONS}; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass http://engines; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}"""

    def prepare(folder: Path) -> None:
        (folder / "nginx.conf").write_text(engines.nginx_configuration(folder, http))

    command = (str(program), "-e", "stderr", "-c", "{folder}/nginx.conf")
    return System("nginx", command, port, body, prepare=prepare)


def vllm_router(python: Path, policy: str, ports: Sequence[int], targets: Sequence[int], body: str) -> System:
    """vLLM's router, of Rust; `ports` are its own and that of its metrics."""
    urls = [f"http://127.0.0.1:{target}" for target in targets]
    # Under "warning", as under its default, version 0.1.17 writes a line about each choice.
    port, metrics_port = map(str, ports)
    command = (
        str(python), "-m", "vllm_router.launch_router", "--host", "127.0.0.1", "--port", port, "--policy", policy,
        "--prometheus-port", metrics_port, "--log-level", "error", "--worker-urls", *urls,
    )  # fmt: skip
    return System(f"vllm-router {policy}", command, ports[0], body)


def litellm(python: Path, port: int, targets: Sequence[int], model: str, body: str) -> System:
    """LiteLLM's proxy with one worker and the engines as deployments of one model."""
    deployments = [
        {
            "model_name": model,
            "litellm_params": {
                "model": "openai/engine",
                "api_base": f"http://127.0.0.1:{target}/v1",
                "api_key": "none",  # It sends one always; the engines do not look at it.
            },
        }
        for target in targets
    ]
    document = {"model_list": deployments, "litellm_settings": {"telemetry": False, "num_retries": 0}}

    def prepare(folder: Path) -> None:
        (folder / "config.yaml").write_text(json.dumps(document))

    command = (
        str(python), "-c", "import litellm; litellm.run_server()", "--config", "{folder}/config.yaml",
        "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1", "--telemetry", "False",
    )  # fmt: skip
    settings = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "HTTP_PROXY": "", "HTTPS_PROXY": ""}
    return System("litellm", command, port, body, environment=settings, prepare=prepare)


def _install(requirement: str, folder: Path) -> None:
    with cache.step(f"installing {requirement}"):
        # The interpreter of the repository's own environment would find that environment's packages.
        _run(str(Path(sys.base_prefix) / "bin" / "python3"), "-m", "venv", str(folder))
        python = str(folder / "bin" / "python")
        _run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement)


def _run(*command: str) -> None:
    subprocess.run(command, capture_output=True, text=True, check=True)
