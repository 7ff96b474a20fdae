"""The files of rules that are shipped, for all fleets at once: what is recorded, and what somebody is woken for."""

from heterofleet.api.labels import Manifest
from heterofleet.metrics import alerts, ratios, rules


def recorded(scale: float = 1.0) -> Manifest:
    """The signals of the planner, then the ratios that are made from them and from what the operator tells."""
    return {"groups": [rules.group(scale), ratios.group(scale)]}


def alerting() -> Manifest:
    """The alerts, which read what is recorded."""
    return {"groups": [alerts.group()]}
