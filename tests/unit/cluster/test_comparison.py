"""What counts as "says all that we want to say", case by case."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.cluster import comparison

COVERED: list[tuple[str, Any, Any]] = [
    ("defaults may be added", {"replicas": 1, "progressDeadlineSeconds": 600}, {"replicas": 1}),
    ("quantities compare by value", {"limits": {"cpu": "1"}}, {"limits": {"cpu": "1000m"}}),
    ("also binary ones", {"limits": {"memory": "1Gi"}}, {"limits": {"memory": "1073741824"}}),
    ("a number is a quantity", {"requests": {"nvidia.com/gpu": "8"}}, {"requests": {"nvidia.com/gpu": 8}}),
    ("sizeLimit is a quantity", {"sizeLimit": "1Gi"}, {"sizeLimit": "1024Mi"}),
    ("a port is its text", {"targetPort": "8000"}, {"targetPort": 8000}),
    ("empty maps are not stored", {}, {"annotations": {}, "nodeSelector": {}}),
    ("empty lists and texts are not stored", {}, {"args": [], "subPath": "", "tolerations": None}),
    ("false of a plain field is not stored", {}, {"hostNetwork": False, "minReadySeconds": 0}),
    ("a null means nothing", {"a": {"b": 1}}, {"a": None}),
    (
        "containers match by name among injected ones",
        {"containers": [{"name": "proxy"}, {"name": "engine", "image": "x"}]},
        {"containers": [{"name": "engine", "image": "x"}]},
    ),
    (
        "container ports match by number and protocol",
        {"ports": [{"containerPort": 9, "protocol": "UDP"}, {"containerPort": 8, "protocol": "TCP"}]},
        {"ports": [{"containerPort": 8}]},
    ),
    (
        "service ports match by number",
        {"ports": [{"port": 80, "targetPort": 8000, "protocol": "TCP", "nodePort": 30000}]},
        {"ports": [{"port": 80, "targetPort": 8000}]},
    ),
    (
        "mounts match by path",
        {"volumeMounts": [{"name": "token", "mountPath": "/var/run"}, {"name": "shm", "mountPath": "/cache"}]},
        {"volumeMounts": [{"name": "shm", "mountPath": "/cache"}]},
    ),
    ("other people's finalizers stay", {"finalizers": ["theirs", "ours"]}, {"finalizers": ["ours"]}),
    ("items of an atomic list may get defaults", {"ingress": [{"x": 1, "d": 2}]}, {"ingress": [{"x": 1}]}),
]

MISSING: list[tuple[str, Any, Any, tuple[str, ...]]] = [
    ("a changed value", {"spec": {"replicas": 1}}, {"spec": {"replicas": 2}}, ("spec.replicas",)),
    ("an absent field", {"spec": {}}, {"spec": {"replicas": 2}}, ("spec.replicas",)),
    ("text is not a quantity elsewhere", {"data": {"cpu": "1"}}, {"data": {"cpu": "1000m"}}, ("data.cpu",)),
    (
        "an empty structure is stored",
        {"volumes": [{"name": "a"}]},
        {"volumes": [{"name": "a", "emptyDir": {}}]},
        ("volumes[a].emptyDir",),
    ),
    ("false of a pointer field is stored", {}, {"privileged": False}, ("privileged",)),
    ("true is not 1", {"immutable": 1}, {"immutable": True}, ("immutable",)),
    ("a container that is gone", {"containers": []}, {"containers": [{"name": "engine"}]}, ("containers[engine]",)),
    (
        "a field of a container",
        {"containers": [{"name": "engine", "image": "new"}]},
        {"containers": [{"name": "engine", "image": "old"}]},
        ("containers[engine].image",),
    ),
    ("an atomic list that grew", {"args": ["a", "b"]}, {"args": ["a"]}, ("args",)),
    ("an atomic list in another order", {"args": ["b", "a"]}, {"args": ["a", "b"]}, ("args[0]", "args[1]")),
    ("a map that became a list", {"a": []}, {"a": {"b": 1}}, ("a",)),
    ("a key with dots", {"labels": {"a.io/b": "x"}}, {"labels": {"a.io/b": "y"}}, ("labels.a.io/b",)),
    ("a finalizer taken away", {"finalizers": []}, {"finalizers": ["ours"]}, ("finalizers[ours]",)),
    ("every place is named", {"a": 1, "b": 1, "c": 1}, {"a": 2, "b": 1, "c": 3}, ("a", "c")),
]


@pytest.mark.parametrize(("observed", "desired"), [case[1:] for case in COVERED], ids=[case[0] for case in COVERED])
def test_is_covered(observed: Any, desired: Any) -> None:
    assert comparison.covers(observed, desired) == ()


@pytest.mark.parametrize(
    ("observed", "desired", "paths"), [case[1:] for case in MISSING], ids=[case[0] for case in MISSING]
)
def test_is_not_covered(observed: Any, desired: Any, paths: tuple[str, ...]) -> None:
    assert comparison.covers(observed, desired) == paths


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", Decimal(1)),
        ("250m", Decimal("0.25")),
        ("1.5Gi", Decimal(1610612736)),
        ("2k", Decimal(2000)),
        ("12e6", Decimal(12_000_000)),
        (8, Decimal(8)),
        ("8 GB", None),
        ("", None),
        ("1..2", None),
        (True, None),
    ],
)
def test_quantity(text: object, value: Decimal | None) -> None:
    assert comparison.quantity(text) == value


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(min_size=1), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(min_size=1), _JSON))
def test_everything_covers_itself(manifest: dict[str, Any]) -> None:
    assert comparison.covers(manifest, manifest) == ()
