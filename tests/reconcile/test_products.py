"""A GPU product that nobody knows is refused with what there is, before anything waits for it."""

from reconcile.operator import Operator
from reconcile.site import Site
from testbed.nodes import A100

MISSPELT = "NVIDIA-A100-SMX4-80GB"


def test_a_gpu_product_of_no_node_is_refused_and_accepted_once_it_is_corrected(site: Site, operator: Operator):
    site.add_nodes(3)
    site.create(large={"placement": {"gpuProduct": MISSPELT}})
    sentence = site.wait("Accepted", "False", "UnknownGpuProduct")
    assert sentence == f"large: no node has the label nvidia.com/gpu.product={MISSPELT}: write one of: {A100}"
    assert site.groups() == []
    site.edit(large={"placement": {"gpuProduct": A100}})
    site.wait_ready()
