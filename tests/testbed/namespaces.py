"""A namespace for each test: usable when it is handed over, and its GPUs free again when it was given back."""

from collections.abc import Mapping

from testbed.api import Api
from testbed.eventually import eventually

_NAMESPACES = "/api/v1/namespaces"


def create_namespace(api: Api, name: str, labels: Mapping[str, str] | None = None) -> None:
    """Create a namespace and wait for its default ServiceAccount, without which no pod is admitted."""
    api.create(_NAMESPACES, {"metadata": {"name": name, "labels": dict(labels or {})}})
    account = f"{_NAMESPACES}/{name}/serviceaccounts/default"
    eventually(lambda: api.find(account), 30, f"namespace {name} has its default ServiceAccount")


def delete_namespace(api: Api, name: str) -> None:
    """Delete a namespace and wait until its pods are gone; the rest of it goes in the background."""
    api.delete(f"{_NAMESPACES}/{name}")
    pods = f"{_NAMESPACES}/{name}/pods"
    # A terminating namespace takes no new pods, so nothing that controllers do can fill it again.
    api.delete(pods, gracePeriodSeconds="0")
    eventually(lambda: not api.items(pods), 60, f"the pods of namespace {name} are gone")
