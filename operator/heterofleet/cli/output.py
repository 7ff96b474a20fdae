"""Writes values for programs: `-o json` and `-o yaml`."""

import json
import sys
from typing import Any


def dump(format_: str, value: Any) -> None:
    """Print one value; `format_` is json or yaml."""
    print(text(format_, value), end="")
    sys.stdout.flush()


def text(format_: str, value: Any) -> str:
    if format_ == "json":
        return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    return manifests([value])


def manifests(values: list[Any]) -> str:
    """Values as one YAML stream of documents, keys in the order given, long texts as blocks."""
    import yaml  # noqa: PLC0415  not needed for JSON

    class Dumper(yaml.SafeDumper):
        """Never writes anchors, which people do not expect in manifests."""

        def ignore_aliases(self, _: Any) -> bool:
            return True

    def block(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, block)
    return yaml.dump_all(
        values, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120, explicit_start=len(values) > 1
    )
