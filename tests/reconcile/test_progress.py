"""While a model is downloaded, status says how far it is."""

from heterofleet.metrics.scrape import Download, SupervisorAnswer
from reconcile.operator import Operator
from reconcile.site import Site
from testbed import stages

GIB = 2**30


def test_a_download_shows_in_status_until_the_instance_is_ready(site: Site, operator: Operator):
    site.add_nodes(3)
    half = SupervisorAnswer(
        phase="downloading", download=Download(state="downloading", bytes=110 * GIB, total=220 * GIB)
    )
    operator.engines.supervisors["chat-large-0-0"] = half
    slow = {"podTemplate": {"metadata": {"annotations": {stages.READY: "false"}}}}
    site.create(large=slow)
    site.eventually(lambda: len([p for p in site.large_pods() if p["status"].get("podIP")]) == 2)
    operator.advance(10)
    said = "rank 0 downloads its model, 50 % of 220 GiB"
    site.eventually(lambda: site.instance(0).get("progress") == said)
    assert said in site.wait("LargeTierReady", "False", "Starting")
    for name in ("chat-large-0-0", "chat-large-0-1"):
        site.mark(name, ready=None)
    site.wait_ready()
    assert "progress" not in site.instance(0)
