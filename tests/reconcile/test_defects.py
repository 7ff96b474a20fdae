"""A defect of the operator's own is said in the fleet's status, and goes when it goes."""

from reconcile.operator import Operator
from reconcile.site import Site


def test_an_unexpected_error_is_reported_and_leaves_what_runs_as_it_is(ready, operator: Operator):
    site: Site = ready()
    before = [pod["metadata"]["uid"] for pod in site.large_pods()]
    played, operator.engines.supervisors = operator.engines.supervisors, None  # type: ignore[assignment]  # the defect
    site.mark("chat-large-0-1", ready="false")
    sentence = site.wait("Stalled", "True", "OperatorError")
    assert sentence.startswith("the operator met an error of its own: AttributeError: ")
    assert [pod["metadata"]["uid"] for pod in site.large_pods()] == before
    operator.engines.supervisors = played
    site.mark("chat-large-0-1", ready=None)
    site.wait_ready()
    site.wait("Stalled", "False", "Settled")
