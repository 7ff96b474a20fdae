"""What it costs to own a fleet for years, and when its money is back (the source, 6.1).

    total         = hardware or rent + power + operations + licences, over the years
    saving a year = (total all large - total mixed) / years
    payback       = money laid out / saving a year         on the hardware, and on the whole of the mixed fleet;
                                                           none where GPUs are rented, since nothing is laid out
    return        = (total all large - total mixed) / total mixed        what comes back beyond what was laid out
    ratio         = total all large / total mixed

The source calls a ratio its ROI: 189 % is 3,600 / 1,910, of which the return is 88.5 %. Its payback of 8 months is not
what its table gives: 1,200K of hardware over 563K a year are 25.6 months. Both are computed here, and named.
"""

from typing import Final, NamedTuple

MONTHS_A_YEAR: Final = 12
HOURS_A_YEAR: Final = 8766.0
"""365.25 days."""
MOST_YEARS: Final = 50.0
MOST_GPUS: Final = 1e6
MOST_USD: Final = 1e12
MOST_USD_PER_GPU_HOUR: Final = 50.0
MOST_USD_PER_KWH: Final = 5.0


class Costs(NamedTuple):
    """USD over all the years."""

    hardware: float
    power: float
    operations: float
    licences: float
    rent: float = 0.0

    @property
    def total(self) -> float:
        return sum(self)


class Assumptions(NamedTuple):
    """What owning GPUs costs. A GPU is bought (`usd_per_gpu`) or rented by the hour (`usd_per_gpu_hour`), not both.

    `watts_per_gpu` is the GPU with its share of the server; `overhead` the power of the building for each unit used
    (PUE). Rent covers power, so a rented GPU is charged none.
    """

    years: float = 3.0
    usd_per_gpu: float | None = None
    usd_per_gpu_hour: float | None = None
    watts_per_gpu: float = 800.0
    overhead: float = 1.4
    usd_per_kwh: float = 0.12
    operations_usd_a_year: float = 0.0
    licence_usd_per_gpu_year: float = 0.0


class Ownership(NamedTuple):
    """Both fleets over the years. Paybacks are in months, None where nothing is saved or nothing was laid out."""

    years: float
    all_large: Costs
    mixed: Costs
    saving: float
    saving_a_year: float
    payback_months_on_hardware: float | None
    payback_months_on_the_whole: float | None
    return_on_investment: float
    ratio: float


SOURCE_YEARS: Final = 3.0
SOURCE_ALL_LARGE: Final = Costs(2_400e3, 720e3, 300e3, 180e3)
SOURCE_MIXED: Final = Costs(1_200e3, 360e3, 200e3, 150e3)
"""The source's table, for 1,000 requests a second over three years."""


def of(all_large: Costs, mixed: Costs, years: float) -> Ownership:
    """Compare two fleets that do the same work. Raises ValueError with what to give instead."""
    _check_years(years)
    for name, costs in (("all-large", all_large), ("mixed", mixed)):
        for part, cost in zip(Costs._fields, costs, strict=True):
            if not 0 <= cost <= MOST_USD:
                raise ValueError(f"{part} {cost:g} of the {name} fleet: give USD over all {years:g} years, 0 or more")
        if costs.total <= 0:
            raise ValueError(f"the {name} fleet costs nothing: give what it costs, such as hardware")
    saving = all_large.total - mixed.total
    a_year = saving / years
    return Ownership(
        years=years,
        all_large=all_large,
        mixed=mixed,
        saving=saving,
        saving_a_year=a_year,
        payback_months_on_hardware=_months(mixed.hardware, a_year),
        payback_months_on_the_whole=_months(mixed.total if mixed.hardware else 0.0, a_year),
        return_on_investment=saving / mixed.total,
        ratio=all_large.total / mixed.total,
    )


def costs(gpus: float, assumed: Assumptions) -> Costs:
    """What a fleet of so many GPUs costs over the years. Raises ValueError."""
    _check(gpus, assumed)
    hours = HOURS_A_YEAR * assumed.years
    kilowatts = gpus * assumed.watts_per_gpu * assumed.overhead / 1000 if assumed.usd_per_gpu_hour is None else 0.0
    return Costs(
        hardware=gpus * (assumed.usd_per_gpu or 0.0),
        power=kilowatts * hours * assumed.usd_per_kwh,
        operations=assumed.operations_usd_a_year * assumed.years,
        licences=gpus * assumed.licence_usd_per_gpu_year * assumed.years,
        rent=gpus * (assumed.usd_per_gpu_hour or 0.0) * hours,
    )


def rented(all_large_usd_a_day: float, mixed_usd_a_day: float, years: float) -> Ownership:
    """Two fleets whose GPUs are rented, by what they cost a day, and nothing else. Raises ValueError."""
    days = years * HOURS_A_YEAR / 24
    paid = [Costs(0.0, 0.0, 0.0, 0.0, usd * days) for usd in (all_large_usd_a_day, mixed_usd_a_day)]
    return of(paid[0], paid[1], years)


def _check(gpus: float, assumed: Assumptions) -> None:
    if not 0 <= gpus <= MOST_GPUS:
        raise ValueError(f"{gpus:g} GPUs: give a number from 0 to {MOST_GPUS:,.0f}")
    _check_years(assumed.years)
    if (assumed.usd_per_gpu is None) == (assumed.usd_per_gpu_hour is None):
        raise ValueError("GPUs are bought or rented: give either usd_per_gpu or usd_per_gpu_hour")
    for name, value in assumed._asdict().items():
        if value is not None and not 0 <= value <= MOST_USD:
            raise ValueError(f"{name} {value:g}: give a number, 0 or more")
    an_hour = assumed.usd_per_gpu_hour or 0.0
    if an_hour > MOST_USD_PER_GPU_HOUR:
        raise ValueError(
            f"usd_per_gpu_hour {an_hour:g} is more than any GPU costs: give USD for one GPU and one hour, which is"
            f" {an_hour / 24:.3g} if this is a day's"
        )
    if assumed.usd_per_kwh > MOST_USD_PER_KWH:
        raise ValueError(f"usd_per_kwh {assumed.usd_per_kwh:g}: give USD, such as 0.12 for 12 cents")
    if assumed.overhead < 1:
        raise ValueError(
            f"overhead {assumed.overhead:g}: a building uses at least what its servers use; give 1 or more"
        )


def _check_years(years: float) -> None:
    if not 0 < years <= MOST_YEARS:
        raise ValueError(f"{years:g} years: give a number above 0, at most {MOST_YEARS:g}")


def _months(laid_out: float, saved_a_year: float) -> float | None:
    return laid_out / saved_a_year * MONTHS_A_YEAR if saved_a_year > 0 and laid_out > 0 else None
