"""What plans are made from is exposed before the first request: no rate sees the first value of a series."""

from prometheus_client.parser import text_string_to_metric_families

from router.engines import says
from router.site import site


async def test_every_class_and_tier_begins_at_zero(tmp_path):
    async with site(tmp_path, [says("hello")]) as made:
        text = (await made.running.admin("/metrics")).body.decode()
    found = {
        (sample.name.removeprefix("heterofleet_router_"), sample.labels["class"], sample.labels.get("tier", ""))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.value == 0 and "class" in sample.labels
    }
    classes, tiers = ("plan", "act"), ("large", "small")
    assert found >= {("offered_total", name, "") for name in classes}
    assert found >= {
        (metric, name, tier)
        for metric in ("requests_total", "prompt_tokens_total", "completion_tokens_total")
        for name in classes
        for tier in tiers
    }
