"""docs/monitoring.md and docs/runbooks.md name what there is, and all of it."""

import re

from heterofleet.control import gauges, series
from heterofleet.metrics import alerts, shipped
from unit import markdown
from unit.control import test_promises, test_series


def test_every_alert_has_a_page_and_every_page_an_alert():
    text = (markdown.ROOT / "docs" / "runbooks.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\w+)$", text, re.MULTILINE) == list(dict.fromkeys(alert.name for alert in alerts.every()))


def test_every_series_of_the_document_exists():
    text = (markdown.ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    named = {span.partition("{")[0] for span in markdown.spans(text)}
    recorded = {rule["record"] for group in shipped.recorded()["groups"] for rule in group["rules"]}
    assert {name for name in named if name.startswith("heterofleet:")} <= recorded
    fleets = test_series.Fleets()
    fleets.held = {test_promises.KEY: (1, test_series.fleet())}
    told = {family.name for family in series.FleetSeries(fleets).collect()}
    assert {name for name in named if name.startswith(gauges.PREFIX)} <= told
