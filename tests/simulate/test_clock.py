"""The engine's time beside the process's."""

from heterofleet.simulate.clock import PacedClock


def test_time_runs_at_its_rate_and_goes_on_when_the_rate_changes() -> None:
    process = [100.0]
    clock = PacedClock(lambda: process[0], rate=60.0)
    process[0] = 101.0
    assert (clock.now(), clock.at(120.0)) == (60.0, 102.0)
    clock.run_at(0.5)
    process[0] = 105.0
    assert (clock.now(), clock.at(63.0)) == (62.0, 107.0)
