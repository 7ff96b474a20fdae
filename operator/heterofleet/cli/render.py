"""`heterofleet render`: prints what the operator would make of a fleet, to be read, compared or committed."""

import argparse
import sys
from collections.abc import Sequence

from heterofleet.api.labels import Manifest
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cli import findings, output, rendering, validate
from heterofleet.cli.errors import CliError
from heterofleet.planning import catalogue


def run(options: argparse.Namespace) -> int:
    (source,) = validate.sources([options.file], sys.stdin)
    known = catalogue.load()
    examined = findings.examine(source.text, known)
    if examined.errors:
        validate.show(source, examined, sys.stderr)
        return 1
    platform = rendering.platform(
        known,
        engine_image=options.engine_image or rendering.ENGINE_IMAGE,
        router_image=options.router_image,
        monitoring=options.monitoring,
        pod_groups=options.pod_groups,
    )
    made = rendering.manifests(_chosen(examined.fleets, options.fleet, source.name), platform)
    shown = [manifest for manifest in made if _is_asked_for(manifest, options.kind)]
    if not shown:
        kinds = sorted({manifest["kind"] for manifest in made})
        raise CliError(f"no object is of kind {', '.join(options.kind)}; there are {', '.join(kinds)}")
    if options.output == "json":
        output.dump("json", {"apiVersion": "v1", "kind": "List", "items": shown})
    else:
        print(output.manifests(shown), end="")
    return 0


def _chosen(fleets: Sequence[HeterogeneousDeployment], name: str | None, file: str) -> HeterogeneousDeployment:
    names = [fleet.metadata.name for fleet in fleets]
    if not fleets:
        raise CliError(f"{file}: holds no fleet")
    if name is None and len(fleets) > 1:
        raise CliError(f"{file}: holds several fleets, choose one with --fleet: {', '.join(names)}")
    if name is not None and name not in names:
        raise CliError(f"{file}: holds no fleet {name}, only {', '.join(names)}")
    return fleets[names.index(name) if name else 0]


def _is_asked_for(manifest: Manifest, kinds: Sequence[str]) -> bool:
    return not kinds or manifest["kind"].lower() in {kind.lower() for kind in kinds}
