"""Chapter `router`: where requests go and why, and what happens to them when something breaks.

Real API server, scheduler, controllers, operator and routers (one process a router pod, with the rights of its
ServiceAccount); behind every engine pod a simulated engine, a real redis-server for money and reviews, and a real
Prometheus that scrapes them all by the product's own jobs and rules. Requests are sent by the official `openai` client.
"""

import concurrent.futures
import contextlib
import hashlib
import json
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import openai
from rich.table import Table

from heterofleet.metrics import rules
from heterofleet.simulate import profile
from heterofleet.simulate.api import Settings
from heterofleet.simulate.faults import Faults
from testbed.controlplane import Cluster
from testbed.datacentre import DataCentre, Simulated
from testbed.demo import house
from testbed.demo.house import FLEET, PLACE, Demo
from testbed.demo.stage import StepFailed
from testbed.podtargets import PodTargets
from testbed.prometheus import PrometheusServer
from testbed.redisserver import RedisServer
from testbed.routerprocess import Routers

FLEET_FILE = Path(__file__).with_name("routed.yaml")
NODES = 4
KEYS = {"team": "team-key", "intern": "intern-key", "reviewer": "reviewer-key"}
LOAD = 400
"""Requests of the act in which an engine is killed."""

_redis: list[str] = []
_prometheus: list[PrometheusServer] = []
_things = contextlib.ExitStack()


def play(*, keep: bool, folder: Path) -> None:
    """Play the chapter; with `keep` the cluster and the operator run on until the user ends them."""
    acts = (_apply, _where, _kill, _break, _escalate, _cache, _budget, _review, _explain, _count)
    with (
        tempfile.TemporaryDirectory(prefix="heterofleet-redis-") as place,
        RedisServer(Path(place)) as redis,
        _things,
    ):
        _redis[:] = [f"127.0.0.1:{redis.port}"]
        house.play(
            "Heterofleet: every request to the cheapest tier that answers it well",
            acts,
            nodes=NODES,
            centre=_centre,
            keep=keep,
            folder=folder,
        )


def _centre(cluster: Cluster, folder: Path) -> DataCentre:
    targets = _things.enter_context(PodTargets(cluster.api, folder / "targets.json"))
    server = PrometheusServer(folder / "prometheus", scrapes=targets.jobs, rules=rules.file(scale=10))
    _prometheus[:] = [_things.enter_context(server)]
    profiles = profile.load()
    settings = Settings(mean_tokens=24, load_seconds=0.0)
    simulated = Simulated(
        {"large": profiles["tiny-large"], "small": profiles["tiny-small"]}, {"large": settings, "small": settings}
    )
    return DataCentre(cluster.api, simulated=simulated, routers=Routers(cluster, folder / "routers"))


def _apply(demo: Demo) -> None:
    demo.stage.step("A fleet with keys, budgets, reviews and a cache; the router is part of the resource")
    text = FLEET_FILE.read_text().replace("REDIS", _redis[0])
    demo.stage.show("\n".join(line for line in text.splitlines() if not line.startswith("#")))
    hashes = {tenant: hashlib.sha256(key.encode()).hexdigest() for tenant, key in KEYS.items()}
    words = [f"--from-literal={tenant}={digest}" for tenant, digest in hashes.items()]
    demo.cluster.kubectl("-n", PLACE, "create", "secret", "generic", "chat-keys", *words)
    demo.stage.command("kubectl", "create", "secret", "generic", "chat-keys", "--from-file=keys/")
    resource = demo.folder / "routed.yaml"
    resource.write_text(text)
    demo.stage.command("kubectl", "apply", "-f", "tests/testbed/demo/routed.yaml")
    demo.cluster.kubectl("-n", PLACE, "apply", "-f", str(resource))
    demo.until("the fleet becomes Ready", lambda: demo.condition("Ready").get("status") == "True", within=90)
    demo.until("the routers run the config", lambda: demo.condition("RouterConfigured").get("status") == "True")
    demo.stage.until("the routers take requests", lambda: _serves(demo), within=30, line=lambda: "waiting")
    demo.stage.proved("two routers serve, and have acknowledged the fleet's configuration by its digest")


def _where(demo: Demo) -> None:
    demo.stage.step("Where requests go, and why: a hint, a model name, or the score of the request itself")
    asked = (
        ("auto", "Write a haiku about autumn.", None),
        ("auto", "Solve for x: 3x^2 - 12x + 9 = 0. Show every step.", None),
        ("plan", "Plan a migration of our database in five steps.", None),
        ("act", "Rename the variable x to total.", None),
        ("auto", "Translate 'good morning' into French.", {"x-heterofleet-class": "plan"}),
        (f"{FLEET}-large", "Hello!", None),
    )
    table = Table("model", "request", "class", "tier", "engine", box=None, pad_edge=False)
    tiers = []
    for model, text, headers in asked:
        answer = _client(demo, "team").chat.completions.with_raw_response.create(
            model=model, messages=[{"role": "user", "content": text}], max_tokens=8, extra_headers=headers
        )
        said = answer.headers
        tiers.append((said["x-heterofleet-class"], said["x-heterofleet-tier"]))
        table.add_row(model, _short(text), *tiers[-1], said["x-heterofleet-endpoint"])
    demo.stage.table(table)
    demo.expect(tiers[2:] == [("plan", "large"), ("act", "small"), ("plan", "large"), (tiers[5][0], "large")],
                "names and hints decide")  # fmt: skip
    demo.stage.proved("plan requests went to the large tier, act requests to the small one; every answer says so")


def _kill(demo: Demo) -> None:
    demo.stage.step(f"An engine is killed while {LOAD} requests run: none of them fails")
    victim = demo.pods("heterofleet.io/tier=small")[0]["metadata"]["name"]
    outcomes: Counter[str] = Counter()
    begun = threading.Event()

    def ask(number: int) -> str:
        if number == LOAD // 4:
            begun.set()
        answer = _client(demo, "team", number).chat.completions.with_raw_response.create(
            model="act", messages=[{"role": "user", "content": f"number {number} [[tokens=40]]"}]
        )
        return str(answer.headers["x-heterofleet-endpoint"])

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        waiting = [pool.submit(ask, number) for number in range(LOAD)]
        begun.wait(60)
        demo.kubectl("delete", "pod", victim, "--force", "--grace-period=0", quiet=True)
        for done in concurrent.futures.as_completed(waiting):
            error = done.exception()
            outcomes["failed" if error else "answered"] += 1
            if error:
                demo.stage.say(str(error))
    demo.stage.say(f"{outcomes['answered']} answered, {outcomes['failed']} failed")
    demo.expect(outcomes == {"answered": LOAD}, "no request failed")
    demo.stage.proved(f"{LOAD} requests answered, 0 failed, while {victim} was deleted without grace")


def _break(demo: Demo) -> None:
    demo.stage.step("An engine that answers with errors: its breaker opens, the others answer")
    demo.until("four small engines serve", lambda: demo.status["small"]["summary"] == "4/4", within=60)
    pod = demo.pods("heterofleet.io/tier=small")[0]
    name, address = pod["metadata"]["name"], f"{pod['status']['podIP']}:8000"
    demo.centre.set_faults(name, Faults(shares={"error": 1.0}))
    for number in range(80):
        _ask(demo, "act", f"still there? {number}", number)
    opened = [line for line in _metrics(demo).splitlines() if "breaker_open" in line and address in line]
    demo.stage.show("\n".join(opened))
    demo.expect(any(line.endswith(" 1.0") for line in opened), "the breaker is open")
    demo.stage.proved("80 requests answered while one engine failed each of its own; its breaker is open")
    demo.centre.set_faults(name, Faults())

    def closed() -> bool:
        for number in range(8):
            _ask(demo, "act", "and now?", number)
        found = [line for line in _metrics(demo).splitlines() if "breaker_open" in line and address in line]
        return all(line.endswith(" 0.0") for line in found)

    demo.stage.until("the breaker closes", closed, within=30, line=lambda: "asking on")
    demo.stage.proved("it closed again after one trial, once the engine was well")


def _escalate(demo: Demo) -> None:
    demo.stage.step("The small model refuses: the large one answers")
    answer = _client(demo, "team").chat.completions.with_raw_response.create(
        model="act", messages=[{"role": "user", "content": f"Sum up this contract. [[refuse={FLEET}-small]]"}]
    )
    said = {name: value for name, value in answer.headers.items() if name.startswith("x-heterofleet")}
    demo.stage.show("\n".join(f"{name}: {value}" for name, value in said.items()))
    demo.expect((said["x-heterofleet-tier"], said["x-heterofleet-attempts"]) == ("large", "2"), "it was escalated")
    demo.stage.proved("an answer that was judged a refusal went up one tier; class act stayed act")


def _cache(demo: Demo) -> None:
    demo.stage.step("The same request with temperature 0 twice: the second costs nothing")
    seen = []
    for _ in range(2):
        began = time.monotonic()
        answer = _client(demo, "team").chat.completions.with_raw_response.create(
            model="act", temperature=0, messages=[{"role": "user", "content": "Give me a word for blue."}]
        )
        seen.append(answer.headers.get("x-heterofleet-cache"))
        demo.stage.say(f"{(time.monotonic() - began) * 1000:6.1f} ms  x-heterofleet-cache: {seen[-1]}")
    demo.expect(seen == [None, "exact"], "the second answer was cached")
    demo.stage.proved("the second answer came from the cache, of this tenant alone")


def _budget(demo: Demo) -> None:
    demo.stage.step("A tenant's budget runs out: 429, with the time after which it makes sense to come again")
    refusal = None
    for number in range(200):
        try:
            _ask(demo, "plan", f"Plan the day. [[tokens=60]] {number}", 0, tenant="intern")
        except openai.RateLimitError as exc:
            refusal = exc
            break
    if refusal is None:
        raise StepFailed("the budget never ran out")
    body: Any = refusal.body
    demo.stage.say(f"after {number} requests: {refusal.status_code} {body['message']}")
    demo.stage.say(f"retry-after: {refusal.response.headers.get('retry-after')} s")
    _ask(demo, "plan", "Plan the day.", 1)
    demo.stage.proved("the intern's budget of 0.05 cents is used up at both routers; the team goes on")


def _review(demo: Demo) -> None:
    demo.stage.step("No model answers well: the answer waits for a person")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asking = pool.submit(
            lambda: _client(demo, "team").chat.completions.with_raw_response.create(
                model="act", messages=[{"role": "user", "content": "May I fly with this battery? [[refuse]]"}]
            )
        )
        waiting = demo.stage.until(
            "a review waits", lambda: _reviews(demo), within=30, line=lambda: "asking, and waiting for a reviewer"
        )
        number = waiting[0]["id"]
        demo.stage.command("curl", f"$ROUTER/v1/review/{number}", "-d", '{"action": "edit", "text": "…"}')
        edited = {"action": "edit", "text": "Only in your hand luggage, and below 100 Wh."}
        _http(f"{_address(demo, 1)}/v1/review/{number}", body=edited)
        answer = asking.result(60)
    said = answer.parse().choices[0].message.content
    demo.stage.say(f"x-heterofleet-review: {answer.headers['x-heterofleet-review']}")
    demo.stage.say(f"the client reads: {said}")
    demo.expect(said == edited["text"], "the client got the reviewer's words")
    demo.stage.proved("a reviewer at the other router answered; the client got an ordinary completion")


def _explain(demo: Demo) -> None:
    demo.stage.step("Why did that go there? The access log knows")
    answer = _client(demo, "team").chat.completions.with_raw_response.create(
        model="act",
        messages=[{"role": "user", "content": f"And this one? [[refuse={FLEET}-small]]"}],
        extra_headers={"x-request-id": "demo-1"},
    )
    demo.expect(answer.headers["x-request-id"] == "demo-1", "the request kept its id")
    pod = _routers(demo)[0]["metadata"]["name"]
    log = demo.folder / "routers" / f"{pod}.access.jsonl"
    demo.stage.until("the log has it", lambda: "demo-1" in log.read_text(), within=10, line=lambda: "reading the log")
    demo.stage.command("kubectl", "logs", f"pod/{pod}", "|", "heterofleet", "explain-request", "demo-1")
    done = subprocess.run(
        [house.heterofleet(), "explain-request", "demo-1", "--log", str(log)],
        capture_output=True,
        text=True,
        check=False,
    )
    demo.stage.show(done.stdout + done.stderr)
    demo.expect(done.returncode == 0, "the request is explained")
    demo.stage.proved("every decision of a request is in the log, in words")


def _count(demo: Demo) -> None:
    demo.stage.step("What Prometheus has of all this")
    offered = f'heterofleet_router_offered_total{{namespace="{PLACE}",fleet="{FLEET}"}}'
    questions = {
        "requests offered, by class": f"sum by (class) ({offered})",
        "tokens generated, by tier": f'sum by (tier) (vllm:generation_tokens_total{{fleet="{FLEET}"}})',
        "escalations, by reason": f'sum by (reason) (heterofleet_router_escalations_total{{fleet="{FLEET}"}})',
    }
    demo.stage.until(
        "it has scraped both classes", lambda: len(_asked(f"sum by (class) ({offered})")) == 2, within=20,
        line=lambda: "scraping",
    )  # fmt: skip
    table = Table("signal", "of", "value")
    for title, expression in questions.items():
        for labels, value in _asked(expression):
            table.add_row(title, labels, f"{value:,.0f}")
    demo.stage.table(table)
    demo.stage.proved("one Prometheus has routers and engines with the labels of their fleet, tier and instance")


def _asked(expression: str) -> list[tuple[str, float]]:
    """The values of an expression, each with its labels."""
    query = urllib.parse.urlencode({"query": expression})
    told = json.loads(_http(f"{_prometheus[0].url}/api/v1/query?{query}"))["data"]["result"]
    return sorted((", ".join(series["metric"].values()), float(series["value"][1])) for series in told)


def _serves(demo: Demo) -> bool:
    with contextlib.suppress(openai.APIConnectionError, openai.InternalServerError):
        for number in range(2):
            _ask(demo, "act", "hello", number)
        return True
    return False


def _ask(demo: Demo, model: str, text: str, number: int, tenant: str = "team") -> None:
    _client(demo, tenant, number).chat.completions.create(
        model=model, messages=[{"role": "user", "content": text}], max_tokens=60
    )


def _client(demo: Demo, tenant: str, number: int = 0) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{_address(demo, number)}/v1", api_key=KEYS[tenant], max_retries=0, timeout=60)


def _address(demo: Demo, number: int = 0) -> str:
    """One of the routers; the Service does this in a cluster that has a network."""
    found = _routers(demo)
    return f"http://{found[number % len(found)]['status']['podIP']}:8080"


_known: dict[int, list[dict[str, Any]]] = {}


def _routers(demo: Demo) -> list[dict[str, Any]]:
    found = _known.get(id(demo))
    if found is None:
        pods = demo.pods(f"heterofleet.io/fleet={FLEET},heterofleet.io/component=router")
        found = sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))
        if all(pod["status"].get("podIP") for pod in found):
            _known[id(demo)] = found
    return found


def _metrics(demo: Demo) -> str:
    pods = _routers(demo)
    return "".join(_http(f"http://{pod['status']['podIP']}:9090/metrics") for pod in pods)


def _reviews(demo: Demo) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(_http(f"{_address(demo, 1)}/v1/review"))["data"]
    return found


def _http(url: str, body: dict[str, str] | None = None) -> str:
    """What a reviewer's request is answered with."""
    request = urllib.request.Request(url, data=None if body is None else json.dumps(body).encode())
    request.add_header("Authorization", f"Bearer {KEYS['reviewer']}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        text: str = answer.read().decode()
        return text


def _short(text: str) -> str:
    return text if len(text) <= 48 else f"{text[:47]}…"
