"""Where `heterofleet recommend` gets the load from: a trace, a Prometheus, a fleet's status, or answers.

What is known of a running fleet (its models, GPUs, price and objective) is what it is asked for again, unless options
say otherwise.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Final

from heterofleet.api.labels import FleetKey
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cli import access, simulate
from heterofleet.cli.access import Api
from heterofleet.cli.errors import CliError, UsageError
from heterofleet.cli.kubeconfig import Target

if TYPE_CHECKING:
    from heterofleet.recommend.answers import Answers
    from heterofleet.simulate.trace import Trace

_ADDRESSES: Final = ("http://", "https://")

ReadFleet = Callable[[argparse.Namespace], HeterogeneousDeployment]


@dataclass(frozen=True, slots=True)
class Load:
    """`escalation` None where it was not measured, `fleet` None where no fleet runs yet."""

    trace: "Trace"
    escalation: float | None
    made_up: bool
    fleet: HeterogeneousDeployment | None = None


def given(options: argparse.Namespace) -> bool:
    """Whether the options say what the load is."""
    return options.trace is not None or options.qps is not None or options.fleet is not None


def read(options: argparse.Namespace, read_fleet: ReadFleet | None = None) -> Load:
    """The load that the options name. Raises UsageError and CliError."""
    if options.trace is not None:
        return _of_trace(options)
    if options.fleet is not None and options.qps is None:
        return _of_fleet(options, (read_fleet or running)(options))
    if options.qps is None:
        raise UsageError(
            "say what the load is: a TRACE, a Prometheus' address with --fleet, the --fleet of a cluster, or --qps"
        )
    return Load(_made_up(options, options.qps, options.steps), options.escalation_rate, made_up=True)


def running(options: argparse.Namespace) -> HeterogeneousDeployment:
    """The fleet of the cluster."""
    found: list[HeterogeneousDeployment] = []

    async def session(api: Api, target: Target) -> int:
        found.append(HeterogeneousDeployment.parse(await access.fleet(api, target.namespace, options.fleet)))
        return 0

    access.run(options, session)
    return found[0]


def _of_trace(options: argparse.Namespace) -> Load:
    if options.qps is not None:
        raise UsageError(
            "--qps says what a trace says already: leave one of them out, or size a trace with --load-factor"
        )
    if options.trace.startswith(_ADDRESSES) and options.fleet is None:
        raise UsageError(f"{options.trace}: say whose load is asked for with --fleet NAME, and -n NAMESPACE")
    key = FleetKey(options.namespace or "default", options.fleet or "any")
    trace = simulate.trace(options, key)
    from heterofleet.api.routing import RequestClass  # noqa: PLC0415  as in `simulate`

    factors = dict.fromkeys(RequestClass, options.load_factor)
    return Load(trace.scaled(factors), options.escalation_rate, made_up=False)


def _of_fleet(options: argparse.Namespace, fleet: HeterogeneousDeployment) -> Load:
    """The load that the fleet's status foresees, as requests of the length that the options say."""
    status, where = fleet.status, f"fleet {fleet.metadata.name}"
    if status.forecast.plan is None or status.forecast.act is None:
        raise CliError(
            f"{where} has not forecast its load yet (status.forecast is empty): let its routers be scraped, or give"
            " --qps, a TRACE, or the address of its Prometheus"
        )
    plan, act = (_requests(options, each.tokens_per_second) for each in (status.forecast.plan, status.forecast.act))
    if not plan + act > 0:
        raise CliError(f"{where} forecasts no load at all: give --qps or a TRACE")
    if plan <= 0 and options.steps is None:
        raise CliError(f"{where} forecasts no plan requests, so that nothing is to be divided: give --qps and --steps")
    steps = options.steps if options.steps is not None else act / plan
    learned = status.learned.escalation_rate
    escalation = learned if options.escalation_rate is None else options.escalation_rate
    return Load(_made_up(options, plan + act, steps), escalation, made_up=True, fleet=fleet)


def _requests(options: argparse.Namespace, work_per_second: float) -> float:
    """Requests a second that bring this work; those of a broken status are none."""
    from heterofleet.recommend import answers  # noqa: PLC0415  numpy takes its time
    from heterofleet.simulate.trace import PROMPT_WEIGHT  # noqa: PLC0415

    weight = PROMPT_WEIGHT if options.prompt_weight is None else options.prompt_weight
    prompt = options.prompt_tokens or answers.PROMPT_TOKENS
    work = (options.output_tokens or answers.OUTPUT_TOKENS) + weight * prompt
    return work_per_second / work if isfinite(work_per_second) else 0.0


def _made_up(options: argparse.Namespace, qps: float, steps: float | None) -> "Trace":
    from heterofleet.recommend import answers  # noqa: PLC0415  numpy takes its time
    from heterofleet.recommend.errors import Unrecommendable  # noqa: PLC0415

    try:
        return answers.trace(_answers(options, qps, steps), options.seed)
    except Unrecommendable as exc:
        raise UsageError(str(exc)) from exc


def _answers(options: argparse.Namespace, qps: float, steps: float | None) -> "Answers":
    from heterofleet.recommend.answers import Answers  # noqa: PLC0415  numpy takes its time

    said = {"steps": steps, "prompt_tokens": options.prompt_tokens, "output_tokens": options.output_tokens}
    return replace(
        Answers(qps, batch=options.batch), **{name: value for name, value in said.items() if value is not None}
    )
