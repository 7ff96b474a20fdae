"""`heterofleet version`."""

import argparse
from importlib import metadata


def run(_: argparse.Namespace) -> int:
    print(f"heterofleet {metadata.version('heterofleet')}")
    return 0
