"""What series tell apart, and what they do not."""

from heterofleet.router.metrics import MOST_TENANTS, Metrics


def test_tenants_beyond_the_most_that_are_told_apart_share_one_series():
    metrics = Metrics()
    for number in range(MOST_TENANTS + 3):
        metrics.tenant_tokens.add(1, metrics.tenant(f"t{number}"))
    assert (metrics.tenant("t0"), metrics.tenant("new")) == ("t0", "other")
    assert len(metrics.tenant_tokens.values) == MOST_TENANTS + 1
    assert metrics.tenant_tokens.values["other",] == 3
