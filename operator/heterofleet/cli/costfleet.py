"""A running fleet's money: GPUs held and load foreseen, of its status, and what a Prometheus knows of the last hour."""

import argparse
import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from heterofleet.api.labels import FleetKey, Tier
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cli import access, costsheet, topsources
from heterofleet.cli.access import Api
from heterofleet.cli.costsheet import Held, Sheet
from heterofleet.cli.errors import CliError
from heterofleet.cli.kubeconfig import Target
from heterofleet.planning import economics

if TYPE_CHECKING:
    from heterofleet.metrics.prometheus import Prometheus


class LastHour(NamedTuple):
    """Fleet money for a completion token, and tenants' money at posted prices; None where Prometheus does not know.

    `posted_all_large` is what the same tokens would have been posted at by the large tier.
    """

    usd_per_completion_token: float | None = None
    posted_usd: float | None = None
    posted_all_large_usd: float | None = None


class Found(NamedTuple):
    sheet: Sheet
    hour: LastHour | None


def read(options: argparse.Namespace) -> Found:
    """The fleet that the options name. Raises CliError."""
    found: list[Found] = []

    async def session(api: Api, target: Target) -> int:
        fleet = HeterogeneousDeployment.parse(await access.fleet(api, target.namespace, options.fleet))
        sheet = of(fleet)
        hour = await _asked(options.prometheus, fleet.key) if options.prometheus else None
        found.append(Found(sheet, hour))
        return 0

    access.run(options, session)
    return found[0]


def of(fleet: HeterogeneousDeployment) -> Sheet:
    """The sheet of a fleet as its status has it. Raises CliError where it has no prices."""
    status = fleet.status
    forecasts = (status.forecast.plan, status.forecast.act)
    known = [made for made in forecasts if made is not None]
    foreseen = sum(made.tokens_per_second for made in known) if len(known) == len(forecasts) else None
    expected = sum(made.expected_tokens_per_second for made in known) if foreseen is not None else None
    load = (
        "its load is not forecast yet, so that only what it holds is known"
        if foreseen is None
        else f"at the expected load of {expected:,.0f} work tokens a second; sized for at most {foreseen:,.0f}"
    )
    basis = f"Fleet {fleet.key.namespace}/{fleet.key.name}, GPUs held now, {load}."
    held = costsheet.Load(foreseen, expected, _lacking(fleet))
    return costsheet.of_fleet(basis, _held(fleet, Tier.LARGE), _held(fleet, Tier.SMALL), held)


def _lacking(fleet: HeterogeneousDeployment) -> str:
    """Which tiers the plan leaves below their need, as `large 2 of 3`."""
    plan = fleet.status.plan
    if plan is None:
        return ""
    tiers = ((Tier.LARGE, plan.large), (Tier.SMALL, plan.small))
    return ", ".join(f"{tier} {one.instances} of {one.need}" for tier, one in tiers if one.instances < one.need)


def _held(fleet: HeterogeneousDeployment, tier: Tier) -> Held:
    spec, status = fleet.spec.tier(tier), fleet.status.tier(tier)
    return Held(
        gpus=status.gpus,
        gpus_per_instance=spec.parallelism.world,
        usd_per_gpu_hour=_price(fleet, tier),
        capacity=status.capacity_tokens_per_second,
        least=spec.instances.min,
    )


def _price(fleet: HeterogeneousDeployment, tier: Tier) -> float:
    price = fleet.spec.tier(tier).usd_per_gpu_hour
    if price is None:
        raise CliError(
            f"fleet {fleet.metadata.name} has no price of a GPU: set spec.{tier}.price.usdPerGpuHour, such as 2.2"
        )
    return price


_QUERIES: Final = (
    "sum(avg_over_time(heterofleet:cost_usd_per_hour:sum{%s}[1h]))",
    "sum(increase(heterofleet_router_completion_tokens_total{%s}[1h]))",
    "sum(increase(heterofleet_router_cost_usd_total{%s}[1h]))",
    "sum(increase(heterofleet_router_cost_all_large_usd_total{%s}[1h]))",
)


async def last_hour(prometheus: "Prometheus", key: FleetKey) -> LastHour:
    """What a Prometheus knows of a fleet's last hour. Raises CliError where it does not answer, or knows nothing."""
    from heterofleet.metrics.samples import Lost, absurd  # noqa: PLC0415  numpy, for those who ask one

    selector = f'namespace="{key.namespace}",fleet="{key.name}"'
    answers = await asyncio.gather(*(prometheus.instant(expression % selector) for expression in _QUERIES))
    values: list[float | None] = []
    for answer in answers:
        if isinstance(answer, Lost):
            raise CliError(answer.sentence)
        values.append(next((sample.value for sample in answer if not absurd(sample.value)), None))
    usd, tokens, posted, all_large = values
    if all(value is None for value in values):
        raise CliError(f"Prometheus knows nothing of fleet {key.name}: does it scrape its routers and the operator?")
    cost = None if usd is None or tokens is None else economics.usd_per_token(usd, tokens)
    return LastHour(cost, posted, all_large)


async def _asked(url: str, key: FleetKey) -> LastHour:
    async with topsources.prometheus(url) as source:
        return await last_hour(source.prometheus, key)
