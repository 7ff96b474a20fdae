"""Which addresses a bed uses. They exist in its own network alone, so that two beds may have the same."""

from typing import Final

HOST: Final = "10.245.0.254"
"""Of the API server and of DNS."""
API_PORT: Final = 6443
SERVICES: Final = "10.96.0.0/16"
FIRST_SERVICE: Final = "10.96.0.1"
PODS: Final = "10.244.0.0/16"
ETCD: Final = "http://127.0.0.1:2379"
ETCD_PEER: Final = "http://127.0.0.1:2380"
DNS_READY: Final = "127.0.0.1:20281"
API: Final = f"https://{HOST}:{API_PORT}"


def node(index: int) -> str:
    return f"10.245.0.{index + 1}"


def pods_of(index: int) -> str:
    """The addresses of a node's pods."""
    return f"10.244.{index}.0/24"
