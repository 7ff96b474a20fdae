"""What is said of a spec before anything costs GPUs: only what is known not to work refuses."""

from typing import Any

import pytest

from heterofleet.api.conditions import Reason
from heterofleet.planning import acceptance, catalogue
from unit.desired import fleets

CATALOGUE = catalogue.load()
A100 = {"placement": {"gpuProduct": "NVIDIA-A100-SXM4-80GB"}}
GLM = {"model": {"source": "hf://zai-org/GLM-4.5-Air"}}


def reasons(**spec: Any) -> list[tuple[str, bool]]:
    said = acceptance.remarks(fleets.fleet(**spec).spec, CATALOGUE)
    return [(remark.reason, remark.refuses) for remark in said]


def test_a_fleet_that_fits_is_accepted_without_a_word():
    large = {**GLM, **A100, "parallelism": {"tensor": 4, "pipeline": 1}}
    assert reasons(large=large, small=A100) == [(Reason.FAMILIES_DIFFER, False)]


def test_a_model_that_does_not_fit_refuses_and_comes_first():
    large = {**GLM, **A100, "parallelism": {"tensor": 1, "pipeline": 1}}
    assert reasons(large=large)[0] == (Reason.DOES_NOT_FIT, True)


def test_tensor_parallelism_over_pods_warns_that_it_needs_a_fast_fabric():
    found = reasons(large={"parallelism": {"tensor": 16, "pipeline": 1}})
    assert (Reason.FAST_FABRIC_NEEDED, False) in found


def test_an_unknown_model_is_accepted_with_a_warning():
    large = {"model": {"source": "hf://acme/secret"}, **A100}
    assert (Reason.FIT_UNKNOWN, False) in reasons(large=large)


@pytest.mark.parametrize("product", ["A100-SXM4-80GB", "NVIDIA-A100-SXM4-80G"])
def test_a_gpu_product_that_looks_like_a_slip_is_questioned(product: str):
    found = acceptance.remarks(fleets.fleet(large={"placement": {"gpuProduct": product}}).spec, CATALOGUE)
    said = next(remark for remark in found if remark.reason is Reason.UNKNOWN_GPU_PRODUCT)
    assert "NVIDIA-A100-SXM4-80GB" in said.message
    assert (said.path, said.refuses) == (("spec", "large", "placement", "gpuProduct"), False)


def test_a_pair_is_matched_unless_its_families_are_known_to_differ():
    same = fleets.fleet().spec
    assert acceptance.pair(same, CATALOGUE)[0] is Reason.SAME_FAMILY
    differ = fleets.fleet(large=GLM).spec
    assert acceptance.pair(differ, CATALOGUE)[0] is Reason.FAMILIES_DIFFER
    unknown = fleets.fleet(large={"model": {"source": "hf://acme/secret"}}).spec
    assert acceptance.pair(unknown, CATALOGUE)[0] is Reason.FAMILY_UNKNOWN


def test_a_schedule_in_an_unknown_zone_refuses():
    day = {"name": "day", "start": "08:00", "end": "18:00", "small": {"min": 2}}
    assert (Reason.INVALID_SPEC, True) in reasons(scaling={"schedules": [day | {"timeZone": "Mars/Olympus"}]})
    assert Reason.INVALID_SPEC not in dict(reasons(scaling={"schedules": [day | {"timeZone": "Europe/Berlin"}]}))
