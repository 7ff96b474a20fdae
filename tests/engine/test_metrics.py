"""The names of vLLM's metrics, by which routers, the operator and alerts know engines."""

import json
import os

from engine.conftest import Engines
from heterofleet.metrics import exposition
from heterofleet.router.watchers import held_requests
from testbed import exchanges


def test_metrics_have_the_recorded_names(engines: Engines):
    found = exchanges.families(engines.small.metrics())
    if os.environ.get("RECORD"):
        exchanges.FAMILIES.write_text(json.dumps(found, indent=1) + "\n")
    assert found == exchanges.recorded_families()


def test_routers_and_operator_read_an_engines_load(engines: Engines):
    text = engines.small.metrics()
    assert held_requests(text.encode()) == 0
    assert exposition.engine_in_flight(text) == 0
