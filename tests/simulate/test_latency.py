"""The table of latencies says what the event model of an engine would say, minute by minute and behind a backlog."""

from typing import Final

import numpy as np
import pytest

from heterofleet.api.labels import Tier
from heterofleet.api.scaling import Objective
from heterofleet.simulate import latency, profile, steady, study
from heterofleet.simulate.engine import Engine
from heterofleet.simulate.events import Arrival, Finished, FirstToken
from heterofleet.simulate.fluid import Run, Track
from heterofleet.simulate.latency import LatencyTable
from heterofleet.simulate.trace import Floats

PROFILE: Final = profile.load()["tiny-large"]
PROMPT, ANSWER, WEIGHT = 300.0, 60.0, 0.1
OBJECTIVE = Objective(ttft_seconds=1, inter_token_seconds=0.1, attainment=0.99)


@pytest.fixture(scope="module")
def table() -> LatencyTable:
    return latency.table(PROFILE, PROMPT, ANSWER, WEIGHT, seed=0)


def played(requests_a_minute: Floats, seed: int) -> tuple[Floats, Floats]:
    """One engine of the event model under a load that changes with each minute: times to first token, and between."""
    chance = np.random.default_rng(seed)
    arrivals = np.concatenate([
        60.0 * minute + np.sort(chance.uniform(0, 60, chance.poisson(count)))
        for minute, count in enumerate(requests_a_minute)
    ])  # fmt: skip
    drawn = steady.draw(PROFILE, PROMPT, ANSWER, seed, len(arrivals))
    engine, first, last = Engine(PROFILE), np.empty(len(arrivals)), np.empty(len(arrivals))
    for request, at in enumerate(arrivals.tolist()):
        engine.submit(at, Arrival(request, int(drawn.prompts[request]), int(drawn.answers[request])))
    for event in engine.advance(1e9):
        if isinstance(event, FirstToken):
            first[int(str(event.request))] = event.at
        elif isinstance(event, Finished):
            last[int(str(event.request))] = event.at
    return first - arrivals, (last - first) / np.maximum(1, drawn.answers - 1)


def test_a_day_of_changing_load_feels_as_in_the_event_model(table: LatencyTable) -> None:
    shares = 0.45 + 0.4 * np.sin(np.linspace(0, 12, 60))
    a_request = ANSWER + WEIGHT * PROMPT
    requests = 60 * shares * table.saturation / a_request
    first, between = played(requests, seed=1)
    met = table.met(shares * table.saturation, requests, np.zeros(60), OBJECTIVE)
    assert met.first[:2] == pytest.approx(np.quantile(first, (0.5, 0.95)), rel=0.15)
    assert met.first[2] == pytest.approx(np.quantile(first, 0.99), rel=0.35)
    assert met.between == pytest.approx(np.quantile(between, (0.5, 0.95, 0.99)), rel=0.15)
    missed = float(((first > 1) | (between > 0.1)).mean())
    assert met.missed_share == pytest.approx(missed, abs=0.01)


def test_a_backlog_delays_the_first_token_as_in_the_event_model(table: LatencyTable) -> None:
    a_request = ANSWER + WEIGHT * PROMPT
    shares = np.array([0.5] * 5 + [1.6] * 4 + [0.4] * 11)
    arrived = 60 * shares * table.saturation
    track = fluid_track(arrived, 60 * table.saturation)
    delay = study.delay_seconds(Run({Tier.LARGE: track}), Tier.LARGE)
    first, _ = played(arrived / a_request, seed=2)
    met = table.met(track.served / 60, arrived / a_request, delay, OBJECTIVE)
    assert met.first[:2] == pytest.approx(np.quantile(first, (0.5, 0.95)), rel=0.3)


def fluid_track(arrived: Floats, capacity: float) -> Track:
    waiting, rows = 0.0, []
    for work in arrived.tolist():
        served = min(capacity, waiting + work)
        waiting += work - served
        rows.append((served, waiting))
    served, left = np.array(rows).T
    ones = np.ones(len(arrived), dtype=np.int64)
    return Track(arrived, np.minimum(arrived, capacity), left, served, ones, 0 * ones, 0 * ones, gpus=1)


def test_delay_is_the_time_that_work_in_the_middle_of_a_minute_waits() -> None:
    # 10 a minute are served: of 30 in one minute the middle one waits for 10, and 10 more come after them.
    track = fluid_track(np.array([5.0, 30.0, 10.0, 0.0, 0.0, 5.0]), 10.0)
    delay = study.delay_seconds(Run({Tier.LARGE: track}), Tier.LARGE)
    assert delay.tolist() == pytest.approx([0.0, 60.0, 120.0, 0.0, 0.0, 0.0])


def test_capacity_is_the_highest_load_that_keeps_the_objective(table: LatencyTable) -> None:
    strict = Objective(ttft_seconds=1, inter_token_seconds=0.02, attainment=0.99)
    capacity = table.capacity(strict)
    assert capacity.within_objective
    assert np.interp(capacity.work_tokens_per_second, table.loads, table.attained(strict)) >= 0.99 - 1e-9
    beyond = table.loads > 1.05 * capacity.work_tokens_per_second
    assert beyond.any()
    assert (table.attained(strict)[beyond] < 0.99).all()


def test_an_objective_that_no_load_meets_leaves_the_best_effort(table: LatencyTable) -> None:
    capacity = table.capacity(Objective(ttft_seconds=0.001, inter_token_seconds=0.001))
    assert not capacity.within_objective
    assert 0 < capacity.work_tokens_per_second < table.saturation


def test_the_same_seed_gives_the_same_table_and_another_seed_another(table: LatencyTable) -> None:
    again, other = (latency.table(PROFILE, PROMPT, ANSWER, WEIGHT, seed) for seed in (0, 1))
    assert again.first.tolist() == table.first.tolist()
    assert other.first.tolist() != table.first.tolist()


def test_nobody_who_asked_met_nothing(table: LatencyTable) -> None:
    met = table.met(np.zeros(3), np.zeros(3), np.zeros(3), OBJECTIVE)
    assert np.isnan(met.first).all()
    assert met.missed_share == 0.0
