"""What Argo CD and Flux make of statuses that the operator wrote on a real API server."""

from reconcile.operator import Operator
from reconcile.site import Site
from testbed import gitops

HEALTHY = ("Healthy", "Current")
PROGRESSING = ("Progressing", "InProgress")


def judged(site: Site) -> tuple[str, str]:
    """Argo CD's health and Flux' status of the fleet as it stands on the server."""
    fleet = site.fleet()
    return gitops.argo_health(fleet).status, gitops.flux_health(fleet)


def test_a_fleet_progresses_until_it_is_ready_and_again_when_it_changes(site: Site, operator: Operator) -> None:
    site.create()
    site.wait("LargeTierReady", "False", "WaitingForGpus")
    assert judged(site) == PROGRESSING
    site.add_nodes(3)
    site.wait_ready()
    assert judged(site) == HEALTHY
    site.edit(large={"instances": {"min": 2}})
    site.wait("LargeTierReady", "False", "WaitingForGpus")
    assert judged(site) == PROGRESSING


def test_a_suspended_fleet_holds_nothing_up(site: Site, operator: Operator) -> None:
    site.create()
    site.wait("LargeTierReady", "False", "WaitingForGpus")
    site.edit(suspend=True)
    site.eventually(lambda: site.status()["observedGeneration"] == 2, 30, "the operator has seen it")
    assert judged(site) == ("Suspended", "Current")


def test_a_refused_fleet_fails_with_the_sentence_that_mends_it(site: Site, operator: Operator) -> None:
    too_small = {
        "model": {"source": "hf://deepseek-ai/DeepSeek-R1"},
        "parallelism": {"tensor": 8, "pipeline": 1},
        "placement": {"gpuProduct": "NVIDIA-A100-SXM4-80GB"},
    }
    site.create(large=too_small)
    site.wait("Accepted", "False", "DoesNotFit")
    assert judged(site) == ("Degraded", "Failed")
    assert "DeepSeek-R1 does not fit" in gitops.argo_health(site.fleet()).message


def test_a_fleet_with_a_failed_instance_is_degraded(site: Site, operator: Operator) -> None:
    site.add_nodes(3)
    site.create(large={"lifecycle": {"maxGroupRestarts": 0}})
    site.wait_ready()
    leader = next(pod["metadata"]["name"] for pod in site.large_pods() if pod["metadata"]["name"].endswith("-0"))
    site.mark(leader, crash_loop="exit-1")
    site.wait("Degraded", reason="InstanceFailed")
    assert judged(site) == ("Degraded", "InProgress")
