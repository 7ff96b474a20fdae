"""What a scrape says of the fleets, from their statuses alone."""

from heterofleet.api.labels import FleetKey, Manifest
from heterofleet.control.metrics import Metrics
from heterofleet.control.series import FleetSeries

A, B = FleetKey("ns", "a"), FleetKey("ns", "b")


class Fleets:
    def __init__(self) -> None:
        self.held: dict[FleetKey, tuple[int, Manifest]] = {}
        self.read: list[FleetKey] = []

    def fleets(self) -> tuple[FleetKey, ...]:
        return tuple(self.held)

    def fleet_version(self, key: FleetKey) -> int:
        return self.held[key][0]

    def fleet(self, key: FleetKey) -> Manifest | None:
        self.read.append(key)
        return self.held[key][1]


def fleet(ready: bool = True) -> Manifest:
    condition = {
        "type": "Ready",
        "status": str(ready),
        "reason": "AllReady",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    large = {
        "desired": 2,
        "ready": 1,
        "gpus": 16,
        "instances": [{"index": 0, "state": "Ready"}, {"index": 3, "state": "Failed"}],
    }
    return {
        "spec": {"large": {"price": {"usdPerGpuHour": 2.5}}, "small": {}},
        "status": {
            "conditions": [condition],
            "large": large,
            "small": {"desired": 4, "ready": 3, "gpus": 5, "draining": 1},
        },
    }


def lines(fleets: Fleets) -> set[str]:
    metrics = Metrics()
    metrics.collect_fleets(FleetSeries(fleets))
    text = metrics.exposition().decode()
    return {line.removeprefix("heterofleet_operator_") for line in text.splitlines() if "_operator_" in line}


def test_instances_gpus_and_money_are_told_by_tier():
    fleets = Fleets()
    fleets.held = {A: (1, fleet())}
    where = 'fleet="a",namespace="ns"'
    assert lines(fleets) >= {
        'fleets{condition="Ready"} 1.0',
        'fleets{condition="Stalled"} 0.0',
        f'instances{{{where},state="Ready",tier="large"}} 1.0',
        f'instances{{{where},state="Failed",tier="large"}} 1.0',
        f'instances{{{where},state="Ready",tier="small"}} 3.0',
        f'instances{{{where},state="Starting",tier="small"}} 1.0',
        f'instances{{{where},state="Draining",tier="small"}} 1.0',
        f'gpus_held{{{where},tier="large"}} 16.0',
        f'gpus_held{{{where},tier="small"}} 5.0',
        f'cost_usd_per_hour{{{where},tier="large"}} 40.0',
    }


def test_what_the_plan_stands_on_and_what_decided_it_is_told():
    fleets = Fleets()
    planned = fleet()
    planned["status"] |= {
        "plan": {
            "large": {"instances": 2, "need": 3, "bound": "GpuBudget"},
            "small": {"instances": 4, "need": 4, "bound": "Forecast"},
        },
        "forecast": {"act": {"tokensPerSecond": 900, "expectedTokensPerSecond": 700, "windowSeconds": 60}},
    }
    planned["status"]["small"]["capacityTokensPerSecond"] = 240
    fleets.held = {A: (1, planned)}
    where = 'fleet="a",namespace="ns"'
    assert lines(fleets) >= {
        f'planned_instances{{{where},tier="large"}} 2.0',
        f'needed_instances{{{where},tier="large"}} 3.0',
        f'plan_bound{{{where},reason="GpuBudget",tier="large"}} 1.0',
        f'capacity_tokens_per_second{{{where},tier="small"}} 240.0',
        f'forecast_tokens_per_second{{class="act",{where}}} 900.0',
    }
    assert not [line for line in lines(fleets) if line.startswith("capacity_") and "large" in line]


def test_a_plan_that_is_only_published_is_told_as_such():
    fleets = Fleets()
    fleets.held = {A: (1, fleet())}
    assert not [line for line in lines(fleets) if line.startswith("plan_advised")]
    advisory = fleet()
    advisory["spec"]["mode"] = "Advisory"
    fleets.held = {A: (2, advisory)}
    assert 'plan_advised{fleet="a",namespace="ns"} 1.0' in lines(fleets)


def test_a_tier_without_a_price_has_no_cost_rather_than_none():
    fleets = Fleets()
    fleets.held = {A: (1, fleet())}
    assert not [line for line in lines(fleets) if line.startswith("cost_usd") and 'tier="small"' in line]


def test_only_fleets_that_changed_are_read_again():
    fleets = Fleets()
    series = FleetSeries(fleets)
    fleets.held = {A: (1, fleet()), B: (1, {"spec": {}})}
    list(series.collect())
    fleets.held[B] = (2, fleet(ready=False))
    list(series.collect())
    assert fleets.read == [A, B, B]


def test_a_status_that_cannot_be_read_has_no_numbers():
    fleets = Fleets()
    fleets.held = {A: (1, {"spec": {}, "status": {"large": "nonsense"}})}
    assert not [line for line in lines(fleets) if line.startswith("instances{")]


def test_what_is_amiss_is_told_with_its_reason_and_what_is_well_is_not():
    told = fleet(ready=False)
    told["status"]["conditions"][0]["reason"] = "Starting"
    moment = {"lastTransitionTime": "2026-01-01T00:00:00Z"}
    told["status"]["conditions"] += [
        {"type": "UpdateAvailable", "status": "True", "reason": "TemplateDiffers", **moment},
        {"type": "Stalled", "status": "False", "reason": "Settled", **moment},
        {"type": "Accepted", "status": "True", "reason": "Valid", **moment},
    ]
    fleets = Fleets()
    fleets.held = {A: (1, told)}
    where = 'fleet="a",namespace="ns"'
    assert {line for line in lines(fleets) if line.startswith("condition_amiss{")} == {
        f'condition_amiss{{condition="Ready",{where},reason="Starting"}} 1.0',
        f'condition_amiss{{condition="UpdateAvailable",{where},reason="TemplateDiffers"}} 1.0',
    }


def test_the_last_drain_and_what_is_learned_are_told_where_there_are_any():
    told = fleet()
    told["status"] |= {
        "lastDrain": {"instance": "a-small-x", "completed": "2026-01-01T00:01:00Z", "aborted": True, "reason": "late"},
        "learned": {"promptWeight": 0.1},
    }
    fleets = Fleets()
    fleets.held = {A: (1, told), B: (1, fleet())}
    names = ("last_drain_", "prompt_weight", "desired_instances")
    where = 'fleet="a",namespace="ns"'
    assert {line for line in lines(fleets) if line.startswith(names) and 'fleet="a"' in line} == {
        f"last_drain_aborted{{{where}}} 1.0",
        f"last_drain_timestamp_seconds{{{where}}} 1.76722566e+09",
        f"prompt_weight{{{where}}} 0.1",
        f'desired_instances{{{where},tier="large"}} 2.0',
        f'desired_instances{{{where},tier="small"}} 4.0',
    }
    assert not [line for line in lines(fleets) if line.startswith("last_drain_") and '"b"' in line]
    assert 'prompt_weight{fleet="b",namespace="ns"} 0.1' in lines(fleets), "what plans reckon with until it is learned"
