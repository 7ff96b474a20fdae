"""What is counted, and under which names."""

from heterofleet.control.metrics import Metrics


def lines(metrics: Metrics) -> set[str]:
    text = metrics.exposition().decode()
    return {line for line in text.splitlines() if line.startswith("heterofleet_") and "_created" not in line}


def test_reconciles_writes_and_errors_are_counted_by_enums() -> None:
    metrics = Metrics()
    metrics.reconciled("done", 0.02)
    metrics.wrote("apply", "Service")
    metrics.failed("Invalid")
    metrics.dropped_event()
    assert lines(metrics) >= {
        'heterofleet_operator_reconciles_total{outcome="done"} 1.0',
        'heterofleet_operator_reconcile_seconds_bucket{le="0.025"} 1.0',
        'heterofleet_operator_writes_total{kind="Service",verb="apply"} 1.0',
        'heterofleet_operator_errors_total{reason="Invalid"} 1.0',
        "heterofleet_operator_events_dropped_total 1.0",
    }


def test_what_is_read_at_each_scrape() -> None:
    metrics = Metrics()
    leading = False
    metrics.observe(queue_depth=lambda: 3, leading=lambda: leading, silence_seconds=lambda: 1.5)
    metrics.count_objects(lambda: {"pods": 7})
    assert lines(metrics) >= {
        "heterofleet_operator_queue_depth 3.0",
        "heterofleet_operator_leader 0.0",
        "heterofleet_operator_silence_seconds 1.5",
        'heterofleet_operator_cache_objects{kind="pods"} 7.0',
    }
    leading = True
    assert "heterofleet_operator_leader 1.0" in lines(metrics)
