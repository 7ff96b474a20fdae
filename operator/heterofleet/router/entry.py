"""`heterofleet-router`: arguments, log, event loop, process."""

import asyncio
import logging
import sys

import uvloop

from heterofleet.router import server, settings


def main() -> None:
    """Runs until SIGTERM or SIGINT; ends with 2 for arguments that cannot be followed."""
    try:
        found = settings.parse()
        _log_to_stderr(found.log_format)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(server.serve(found))
    except settings.Misused as exc:
        sys.stderr.write(f"heterofleet-router: {exc}\n")
        sys.exit(2)


def _log_to_stderr(form: str) -> None:
    text = "%(asctime)s %(levelname)s %(name)s %(message)s"
    as_json = '{"time":"%(asctime)s","level":"%(levelname)s","logger":"%(name)s","message":"%(message)s"}'
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=as_json if form == "json" else text)


if __name__ == "__main__":
    main()
