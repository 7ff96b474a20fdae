"""`heterofleet-router`: arguments, log, event loop, process."""

import asyncio
import logging
import sys

import orjson
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


class JsonFormatter(logging.Formatter):
    """One JSON object a line, whatever a message holds."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def _log_to_stderr(form: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    handler.setFormatter(JsonFormatter() if form == "json" else text)
    logging.basicConfig(level=logging.INFO, handlers=[handler])


if __name__ == "__main__":
    main()
