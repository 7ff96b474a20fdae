"""Chapter `scaling`: a morning peak, and the counts that move ahead of it; then the same without Prometheus.

Real API server, scheduler, controllers, operator, routers and Prometheus; behind every engine pod a simulated engine.
Time runs sixty times as fast for plans, rules, starts and the trace: a minute of the morning is a second here.
"""

import contextlib
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from heterofleet.api.routing import RequestClass
from heterofleet.metrics import rules
from heterofleet.simulate import profile
from heterofleet.simulate.api import Settings
from testbed import ports
from testbed.controlplane import Cluster
from testbed.datacentre import DataCentre, Simulated
from testbed.demo import house, peakplot, replay
from testbed.demo.house import FLEET, PLACE, Demo
from testbed.demo.peakplot import Moment
from testbed.podtargets import PodTargets
from testbed.prometheus import PrometheusServer
from testbed.routerprocess import Routers

FLEET_FILE = Path(__file__).with_name("scaled.yaml")
NODES = 4
SCALE: Final = 60
DAY: Final = 1440
BEGIN: Final = DAY + 7 * 60 + 35
"""The second day of the trace, 07:35: act work rises to three times as much within the hour and a half."""
MINUTES: Final = 85
MEAN_WORK: Final = {RequestClass.PLAN: 260.0, RequestClass.ACT: 700.0}
"""Work tokens a second that the trace's mean stands for; an instance carries about 240."""
HISTORY_MINUTES: Final = 26 * 60
PROMPT_TOKENS: Final = 20
REQUEST_WORK: Final = replay.ANSWER_TOKENS + 0.1 * PROMPT_TOKENS


@dataclass
class _Play:
    """What the acts of this chapter share beside the demo."""

    port: int
    things: contextlib.ExitStack
    trace: dict[RequestClass, Sequence[float]]
    load: replay.Load | None = None
    prometheus: PrometheusServer | None = None


_play: _Play


def play(*, keep: bool, folder: Path) -> None:
    """Play the chapter; with `keep` the cluster and the operator run on until the user ends them."""
    global _play  # noqa: PLW0603 (acts are functions of the demo alone)
    with contextlib.ExitStack() as things:
        _play = _Play(ports.free(1)[0], things, dict(replay.minutes()))
        house.play(
            "Heterofleet: the ratio follows the load",
            (_apply, _know, _peak, _decided, _fall, _silence),
            nodes=NODES,
            centre=_centre,
            keep=keep,
            folder=folder,
            values={"prometheus.url": f"http://127.0.0.1:{_play.port}", "prometheus.timeoutSeconds": "2"},
            environment={"HETEROFLEET_TIME_SCALE": str(SCALE)},
        )


def _centre(cluster: Cluster, folder: Path) -> DataCentre:
    engine = replace(
        profile.load()["tiny-small"], step_seconds=0.06, sequence_seconds=0.0, max_num_seqs=16, load_seconds=0.0
    )
    settings = Settings(mean_tokens=replay.ANSWER_TOKENS, load_seconds=0.0)
    simulated = Simulated({"large": engine, "small": engine}, {"large": settings, "small": settings})
    return DataCentre(cluster.api, simulated=simulated, routers=Routers(cluster, folder / "routers"))


def _apply(demo: Demo) -> None:
    demo.stage.step("A fleet that may grow: 1 to 2 large instances of 8 GPUs, 1 to 12 small ones, 28 GPUs at most")
    demo.kubectl("apply", "-f", str(FLEET_FILE.relative_to(house.ROOT)))
    demo.until("the fleet is ready", lambda: demo.condition("Ready").get("status") == "True", within=60)
    load = replay.Load(_addresses(demo))
    _play.load = _play.things.enter_context(load)
    _at(BEGIN)
    said = demo.condition("MetricsAvailable")
    demo.stage.say(f"MetricsAvailable={said['status']}: {said['message']}")
    demo.stage.proved("without an answer of Prometheus the fleet stands at its minimum and says so")


def _know(demo: Demo) -> None:
    demo.stage.step("Prometheus comes, with a day of the fleet's history")
    targets = _play.things.enter_context(PodTargets(demo.cluster.api, demo.folder / "targets.json"))
    operator = [{"job_name": "operator", "static_configs": [{"targets": [f"127.0.0.1:{demo.operator.port}"]}]}]
    server = PrometheusServer(
        demo.folder / "prometheus",
        scrapes=[*targets.jobs, *operator],
        rules=rules.file(SCALE),
        interval="500ms",
        port=_play.port,
    )
    server.backfill(_history())
    _play.prometheus = _play.things.enter_context(server)
    demo.until("the load is known", lambda: demo.condition("MetricsAvailable").get("status") == "True", within=40)
    demo.until("there is a forecast", lambda: _forecast(demo, "act") is not None, within=20)
    demo.stage.say(f"act work is forecast at {_forecast(demo, 'act'):.0f} work tokens/s at most")
    demo.stage.proved("the load is known, and forecast from the history that Prometheus kept")


def _peak(demo: Demo) -> None:
    demo.stage.step(f"A morning of the trace, {MINUTES} minutes of it from 07:35, a minute a second")
    moments: list[Moment] = []
    began = time.monotonic()
    for minute in range(MINUTES):
        _at(BEGIN + minute)
        time.sleep(max(0.0, began + minute + 1 - time.monotonic()))
        moments.append(_moment(demo, minute))
        if minute % 8 == 0:
            demo.stage.say(moments[-1].line())
    picture = peakplot.draw(moments, demo.folder / "peak.png")
    demo.stage.note(f"the picture of it: {picture.relative_to(house.ROOT)}")
    highest = max(moment.planned["small"] for moment in moments)
    demo.expect(highest > moments[0].planned["small"] + 1, "the small tier has grown")
    short = sum(moment.demand["act"] > moment.ready["small"] * moment.capacity["small"] for moment in moments)
    demo.stage.say(f"{_outcomes()}; in {short} of {MINUTES} minutes more act work came than the small tier carries")
    demo.expect(_failed() == 0, "no request failed")
    demo.stage.proved(
        f"the small tier went from {moments[0].planned['small']} to {highest} instances, ahead of the load in"
        f" {MINUTES - short} of {MINUTES} minutes; 0 requests failed"
    )


def _decided(demo: Demo) -> None:
    demo.stage.step("Why? Every decision says so")
    demo.cli("status", FLEET)
    demo.expect(bool(demo.status.get("decisions")), "decisions are kept")
    demo.stage.proved("each count has what decided it, with figures")


def _fall(demo: Demo) -> None:
    demo.stage.step("The morning is over")
    high = demo.status["plan"]["small"]["instances"]
    _rate(RequestClass.ACT, 100.0)
    demo.until("the small tier shrinks", lambda: demo.status["plan"]["small"]["instances"] < high - 1, within=60)
    demo.until("what goes has drained", lambda: demo.status.get("lastDrain"), within=60)
    demo.expect(_failed() == 0, "no request failed")
    demo.stage.proved(f"counts fall after the hold, instance by instance, each drained; {_outcomes()}")


def _silence(demo: Demo) -> None:
    demo.stage.step("Prometheus is stopped, and then a burst comes")
    assert _play.prometheus is not None
    _play.prometheus.stop()
    demo.until("the loss is told", lambda: demo.condition("MetricsAvailable").get("reason") == "MetricsLost", within=30)
    demo.stage.say(demo.condition("MetricsAvailable")["message"])
    held = demo.status["plan"]["small"]
    demo.expect(held["bound"] == "MetricsLost", "the plan holds")
    demo.stage.say(f"small: {held['message']}")
    ready = demo.status["small"]["ready"]
    _rate(RequestClass.ACT, 240.0 * (ready + 2))
    grown = held["instances"]
    demo.until("queues raise the count", lambda: demo.status["plan"]["small"]["instances"] > grown, within=40)
    decision = demo.status["decisions"][0]
    demo.stage.say(f"{decision['tier']} {decision['before']} -> {decision['after']}: {decision['message']}")
    demo.expect(decision["bound"] in ("Queue", "GpuBudget"), "what waits has raised it")
    _rate(RequestClass.ACT, 100.0)
    _play.prometheus.start()
    demo.until("the load is known again", lambda: demo.condition("MetricsAvailable").get("status") == "True", within=40)
    demo.stage.say(_outcomes())
    demo.expect(_failed() == 0, "no request failed")
    demo.stage.proved("without Prometheus counts hold, queues raise them, and the loop goes on by itself")


def _at(minute: int) -> None:
    """The load of a minute of the trace."""
    for name, trace in _play.trace.items():
        _rate(name, MEAN_WORK[name] * sum(trace[minute - 2 : minute + 3]) / 5)


def _rate(name: RequestClass, work: float) -> None:
    assert _play.load is not None
    _play.load.rates[name] = work / REQUEST_WORK


def _history() -> str:
    """What each class offered, minute by minute, until now, as recording rules would have kept it."""
    now, chance, lines = int(time.time()), random.Random(1), []
    for metric, tokens in ((rules.OFFERED_PROMPT, PROMPT_TOKENS), (rules.OFFERED_COMPLETION, replay.ANSWER_TOKENS)):
        lines.append(f"# TYPE {metric} gauge")
        for name, trace in _play.trace.items():
            labels = f'namespace="{PLACE}",fleet="{FLEET}",class="{name}"'
            for back in range(HISTORY_MINUTES, 0, -1):
                requests = MEAN_WORK[name] / REQUEST_WORK * trace[BEGIN - back] * chance.uniform(0.97, 1.03)
                lines.append(f"{metric}{{{labels}}} {requests * tokens:.3f} {now - back}")
    return "\n".join(lines)


def _moment(demo: Demo, minute: int) -> Moment:
    status, assigned = demo.status, _play.load
    assert assigned is not None
    return Moment(
        minute=BEGIN % DAY + minute,
        demand={str(name): rate * REQUEST_WORK for name, rate in assigned.rates.items()},
        forecast={str(name): _forecast(demo, str(name)) for name in RequestClass},
        planned={tier: status["plan"][tier]["instances"] for tier in ("large", "small")},
        ready={tier: status[tier]["ready"] for tier in ("large", "small")},
        gpus={tier: status[tier]["gpus"] for tier in ("large", "small")},
        capacity={tier: status[tier].get("capacityTokensPerSecond", 240.0) for tier in ("large", "small")},
    )


def _forecast(demo: Demo, name: str) -> float | None:
    made = demo.status.get("forecast", {}).get(name)
    return None if made is None else float(made["tokensPerSecond"])


def _outcomes() -> str:
    assert _play.load is not None
    return json.dumps(dict(_play.load.outcomes)).strip("{}").replace('"', "")


def _failed() -> int:
    assert _play.load is not None
    return _play.load.failed


def _addresses(demo: Demo) -> list[str]:
    found: list[dict[str, Any]] = demo.pods(f"heterofleet.io/fleet={FLEET},heterofleet.io/component=router")
    return [f"{pod['status']['podIP']}:8080" for pod in found if pod.get("status", {}).get("podIP")]
