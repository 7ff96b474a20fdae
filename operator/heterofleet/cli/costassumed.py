"""Reads what people assume of owning a fleet and of the worth of answers: YAML files of `cost --tco` and `--value`."""

import re
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import Field, ValidationError
from pydantic.alias_generators import to_camel

from heterofleet.api.base import Model
from heterofleet.cli.errors import UsageError
from heterofleet.planning import ownership, value
from heterofleet.planning.ownership import Assumptions, Costs, Ownership
from heterofleet.planning.value import Service, Value, Worth

_LARGEST_BYTES: Final = 1 << 20

_Read = TypeVar("_Read", bound=Model)


class _Costs(Model):
    """USD over all the years."""

    hardware: float = 0.0
    power: float = 0.0
    operations: float = 0.0
    licences: float = 0.0
    rent: float = 0.0


class _Pair(Model):
    all_large: float | None = None
    mixed: float | None = None


class _Ownership(Model):
    """Either the costs of both fleets, or what they are made of."""

    years: float = 3.0
    all_large: _Costs | None = None
    mixed: _Costs | None = None
    gpus: _Pair = Field(default_factory=_Pair)
    usd_per_gpu: float | None = None
    usd_per_gpu_hour: float | None = None
    watts_per_gpu: float = Assumptions().watts_per_gpu
    overhead: float = Assumptions().overhead
    usd_per_kwh: float = Assumptions().usd_per_kwh
    operations_usd_a_year: _Pair = Field(default_factory=_Pair)
    licence_usd_per_gpu_year: float = 0.0


class _Service(Model):
    seconds: float
    requests_a_day: float
    quality: float


class _Worth(Model):
    usd_per_second: float = 0.0
    usd_per_request: float = 0.0
    usd_per_correction: float = 0.0


class _Value(Model):
    baseline: _Service
    now: _Service
    worth: _Worth


def source() -> Ownership:
    """The source's own table."""
    return ownership.of(ownership.SOURCE_ALL_LARGE, ownership.SOURCE_MIXED, ownership.SOURCE_YEARS)


def ownership_of(file: str, all_large_gpus: float | None, mixed_gpus: float | None) -> Ownership:
    """As a file assumes; GPUs that it leaves open are those that were found. Raises UsageError."""
    read = _parsed(file, _Ownership)
    try:
        if read.all_large is not None and read.mixed is not None:
            return ownership.of(_costs(read.all_large), _costs(read.mixed), read.years)
        if read.all_large is not None or read.mixed is not None:
            raise UsageError(f"{file}: give the costs of both, allLarge and mixed, or of neither and gpus instead")
        fleets = (("allLarge", read.gpus.all_large, all_large_gpus), ("mixed", read.gpus.mixed, mixed_gpus))
        counts = [_gpus(file, name, said, found) for name, said, found in fleets]
        a_year = (read.operations_usd_a_year.all_large, read.operations_usd_a_year.mixed)
        both = [ownership.costs(gpus, _assumed(read, usd)) for gpus, usd in zip(counts, a_year, strict=True)]
        return ownership.of(both[0], both[1], read.years)
    except ValueError as exc:
        raise UsageError(f"{file}: {_as_written(str(exc))}") from exc


def value_of(file: str) -> Value:
    """As a file assumes. Raises UsageError."""
    read = _parsed(file, _Value)
    try:
        return value.of(_service(read.baseline), _service(read.now), Worth(*read.worth.model_dump().values()))
    except ValueError as exc:
        raise UsageError(f"{file}: {_as_written(str(exc))}") from exc


def _as_written(sentence: str) -> str:
    """Fields as the file has them: usdPerGpu for usd_per_gpu."""
    return re.sub(r"\b[a-z]+(?:_[a-z]+)+\b", lambda name: to_camel(name[0]), sentence)


def _assumed(read: _Ownership, operations_usd_a_year: float | None) -> Assumptions:
    return Assumptions(
        years=read.years,
        usd_per_gpu=read.usd_per_gpu,
        usd_per_gpu_hour=read.usd_per_gpu_hour,
        watts_per_gpu=read.watts_per_gpu,
        overhead=read.overhead,
        usd_per_kwh=read.usd_per_kwh,
        operations_usd_a_year=operations_usd_a_year or 0.0,
        licence_usd_per_gpu_year=read.licence_usd_per_gpu_year,
    )


def _gpus(file: str, name: str, said: float | None, found: float | None) -> float:
    gpus = said if said is not None else found
    if gpus is None:
        raise UsageError(f"{file}: say how many GPUs each fleet has (gpus.{name}), or name a fleet or a trace")
    return gpus


def _costs(read: _Costs) -> Costs:
    return Costs(*read.model_dump().values())


def _service(read: _Service) -> Service:
    return Service(*read.model_dump().values())


def _parsed(file: str, model: type[_Read]) -> _Read:
    try:
        text = Path(file).read_bytes()[:_LARGEST_BYTES]
        body: Any = yaml.safe_load(text)
        return model.model_validate(body if body is not None else {})
    except OSError as exc:
        raise UsageError(f"{file}: {(exc.strerror or str(exc)).lower()}") from exc
    except yaml.YAMLError as exc:
        raise UsageError(f"{file}: is not YAML: {str(exc).splitlines()[0]}") from exc
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        known = ", ".join(field.alias or name for name, field in model.model_fields.items())
        raise UsageError(f"{file}: {where}: {first['msg'].lower()}; known at the top are {known}") from exc
