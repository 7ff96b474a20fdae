"""From one resource to a running fleet, and then to rest."""

from reconcile.operator import Operator
from reconcile.site import Site


def test_a_fleet_becomes_ready_and_then_nothing_is_written(ready, operator: Operator):
    site: Site = ready()
    operator.settle()
    operator.writes()
    operator.look()
    operator.advance(30)
    operator.reconcile_now(site.namespace, "chat")
    operator.restart()
    operator.reconcile_now(site.namespace, "chat")
    assert operator.writes() == []
