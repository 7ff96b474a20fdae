"""`heterofleet engine-sim`: a simulated engine that speaks vLLM's API.

The edge of `simulate`: the command line becomes a profile and settings. Its packages are loaded when it runs.
"""

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from heterofleet.cli.errors import CliError, UsageError

if TYPE_CHECKING:
    from heterofleet.simulate.profile import Profile


def run(options: argparse.Namespace) -> int:
    try:
        from heterofleet.simulate import entry, profile  # noqa: PLC0415  aiohttp takes its time
        from heterofleet.simulate.api import Settings  # noqa: PLC0415  for the same reason
    except ImportError as exc:
        raise CliError(f"{exc.name} is not installed: pip install 'heterofleet[simulate]'") from exc
    if options.profile not in profile.load():
        raise UsageError(f"no profile {options.profile!r}; choose from {', '.join(profile.load())}")
    settings = Settings(
        api_keys=tuple(options.api_key),
        allow_faults=options.allow_faults,
        quality=options.quality,
        mean_tokens=options.mean_tokens,
        time_scale=options.time_scale,
        load_seconds=options.load_seconds,
    )
    process = entry.Process(options.host, options.port, options.shutdown_timeout)
    try:
        return entry.serve(
            process, _chosen(profile.load()[options.profile], options), options.served_model_name, settings
        )
    except OSError as exc:
        raise CliError(f"cannot listen on {options.host}:{options.port}: {exc.strerror}") from exc


def _chosen(named: "Profile", options: argparse.Namespace) -> "Profile":
    """The named profile with what the command line says in its place."""
    given = {
        "max_model_len": options.max_model_len,
        "max_num_seqs": options.max_num_seqs,
        "kv_tokens": options.kv_cache_tokens,
        "prefix_caching": options.enable_prefix_caching,
        "heeds_priority": options.scheduling_policy == "priority",
    }
    try:
        return replace(named, **{name: value for name, value in given.items() if value is not None})
    except ValueError as exc:
        raise UsageError(str(exc)) from exc
