"""Nothing that is in a Secret comes out of the product: a value planted in each is looked for wherever people look.

Operator and routers are real processes with real files, a Redis that asks for its password and a Prometheus that is
worse than any: it repeats what it was asked with. Each value is seen to have been used, so that its absence elsewhere
means something.
"""

import base64
import contextlib
import hashlib
import http.server
import json
import secrets
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.test_desired_objects import define
from heterofleet.api import labels
from reconcile.site import Site
from testbed import redisserver
from testbed.controlplane import Cluster
from testbed.datacentre import DataCentre
from testbed.eventually import eventually
from testbed.namespaces import create_namespace
from testbed.operatorprocess import OperatorProcess
from testbed.redisserver import RedisServer
from testbed.routerprocess import Routers

PLANTED = {name: f"planted-{name}-{secrets.token_hex(8)}" for name in (
    "hub-token", "engine-key", "next-engine-key", "client-key", "store-password", "prometheus-token",
)}  # fmt: skip


def forms() -> dict[str, str]:
    """What must be found nowhere: each value, as it is and as Kubernetes would store it, and the client key's hash."""
    plain = {**PLANTED, "hash of the client key": digest(PLANTED["client-key"])}
    return plain | {f"{name} in base64": base64.b64encode(value.encode()).decode() for name, value in plain.items()}


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


class Repeating(http.server.BaseHTTPRequestHandler):
    """A Prometheus behind a proxy that fails and shows the request to whoever made it."""

    seen: set[str] = set()  # noqa: RUF012  http.server makes an object for each request; they share this

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def answer(self) -> None:
        asked = self.headers.get("Authorization", "")
        self.seen.add(asked)
        body = f"bad gateway; the request had authorization: {asked}".encode()
        self.send_response(502)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """It is quiet."""


@contextlib.contextmanager
def prometheus() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Repeating)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


@dataclass
class Product:
    """A fleet with every Secret that the product knows, and all its processes."""

    site: Site
    operator: OperatorProcess
    centre: DataCentre
    folder: Path

    @property
    def router(self) -> dict[str, Any]:
        (pod,) = self.site.pods(f"{labels.COMPONENT}=router")
        return pod

    def ask(self, key: str) -> int:
        """A chat request with this key, sent to the router."""
        body = json.dumps({"model": "act", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 2})
        request = urllib.request.Request(
            f"http://{self.router['status']['podIP']}:8080/v1/chat/completions",
            data=body.encode(),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code
        except OSError:
            return 0

    def pages(self) -> Iterator[tuple[str, str]]:
        """What the processes serve to those who may reach their metrics' port."""
        yield "the operator's metrics", self.operator.metrics()
        for path in ("metrics", "config", "readyz"):
            with urllib.request.urlopen(f"http://{self.router['status']['podIP']}:9090/{path}", timeout=10) as answer:
                yield f"the router's {path}", answer.read().decode()

    def processes(self) -> Iterator[tuple[str, str]]:
        """Arguments and environment of the operator and the router."""
        pids = {"operator": self.operator.pid, "router": self.centre.router_process(self.router["metadata"]["name"])}
        for name, pid in pids.items():
            for file in ("cmdline", "environ"):
                yield f"{file} of the {name}", Path(f"/proc/{pid}/{file}").read_text()

    def logs(self) -> Iterator[tuple[str, str]]:
        kept = [file for file in self.folder.rglob("*") if file.is_file() and file.suffix in (".log", ".jsonl")]
        assert {"operator.log"} < {file.name for file in kept}
        return ((file.name, file.read_text(errors="replace")) for file in kept)

    def objects(self) -> Iterator[tuple[str, str]]:
        """All that the API server holds in the namespace, but Secrets."""
        kubectl = self.site.cluster.kubectl
        kinds = kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
        kinds.remove("secrets")
        assert {"events", "configmaps", f"{labels.FLEET_PLURAL}.{labels.GROUP}"} < set(kinds)
        text = kubectl("get", ",".join(kinds), "-n", self.site.namespace, "-o", "json", "--show-managed-fields")
        for item in json.loads(text)["items"]:
            yield f"{item['kind']} {item['metadata']['name']}", json.dumps(item)


def plant(site: Site, name: str, **entries: str) -> None:
    body = {"metadata": {"name": name}, "stringData": entries}
    site.cluster.api.create(site.path("secrets"), body)


def plant_all(site: Site) -> None:
    plant(site, "hub", token=PLANTED["hub-token"])
    plant(site, "ring", current=PLANTED["engine-key"], next=PLANTED["next-engine-key"])
    plant(site, "tenants", alice=digest(PLANTED["client-key"]))
    plant(site, "store", password=PLANTED["store-password"])


@pytest.fixture
def product(loopback_cluster: Cluster, tmp_path: Path) -> Iterator[Product]:
    define(loopback_cluster)
    site = Site(loopback_cluster, f"test-{secrets.token_hex(4)}")
    create_namespace(loopback_cluster.api, site.namespace)
    plant_all(site)
    token = tmp_path / "token"
    token.write_text(PLANTED["prometheus-token"])
    with contextlib.ExitStack() as running:
        try:
            store = running.enter_context(RedisServer(tmp_path, password=PLANTED["store-password"]))
        except redisserver.MissingError:
            pytest.skip("this machine has no redis-server")
        environment = {
            "HETEROFLEET_LOG_LEVEL": "debug",
            "HETEROFLEET_TIME_SCALE": "60",  # A plan a second, so that a lost Prometheus is soon told.
            "HETEROFLEET_PROMETHEUS_URL": running.enter_context(prometheus()),
            "HETEROFLEET_PROMETHEUS_TOKEN_FILE": str(token),
        }
        routers = Routers(loopback_cluster, tmp_path / "routers")
        centre = running.enter_context(DataCentre(loopback_cluster.api, site.namespace, routers=routers))
        operator = OperatorProcess(
            loopback_cluster.kubeconfig,
            namespaces=[site.namespace],
            lease_namespace=site.namespace,
            environment=environment,
            folder=tmp_path / "operator",
        )
        running.enter_context(operator)
        site.add_nodes(1)
        model = {"source": "hf://Qwen/Qwen3-4B-Instruct-2507", "tokenSecret": {"name": "hub", "key": "token"}}
        address = {"address": f"127.0.0.1:{store.port}", "passwordSecret": {"name": "store", "key": "password"}}
        site.create(
            large={"instances": {"min": 0}},
            small={"model": model},
            engineKeys={"secret": "ring"},
            router={"instances": {"min": 1}, "auth": {"keysSecret": "tenants"}, "store": {"redis": address}},
        )
        site.wait_ready(within=60)
        yield Product(site, operator, centre, tmp_path)
    site.remove_nodes(*site.machines)
    loopback_cluster.api.delete(f"/api/v1/namespaces/{site.namespace}")
    loopback_cluster.api.delete(site.path("pods"), gracePeriodSeconds="0")


def test_no_value_of_a_secret_is_in_any_object_log_page_or_process(product: Product) -> None:
    eventually(lambda: product.ask(PLANTED["client-key"]) == 200, 30, "the client's key is known")
    assert product.ask("planted-by-somebody-else") == 401
    (engine,) = product.centre.engines().values()
    assert engine.authorizations == {f"Bearer {PLANTED['engine-key']}"}
    lost = product.site.wait("MetricsAvailable", "False", "MetricsLost", within=90)
    assert "answered 502: bad gateway" in lost
    assert Repeating.seen == {f"Bearer {PLANTED['prometheus-token']}"}
    places = [*product.objects(), *product.pages(), *product.processes(), *product.logs()]
    assert len(places) > 30
    found = [(name, place) for place, text in places for name, value in forms().items() if value in text]
    assert found == []
