"""Entry of `heterofleet` and `kubectl heterofleet`: one command line in, one exit code out.

A command's module is imported only when it runs, so that help and completion answer at once. What a person did
wrong is one sentence on stderr; a traceback is a defect of this program.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final

from heterofleet.cli import arguments
from heterofleet.cli.errors import CliError

_INTERRUPTED: Final = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed, 2 wrong usage."""
    options = arguments.parser().parse_args(argv)
    try:
        command = importlib.import_module(f"heterofleet.cli.{options.module}")
        code: int = command.run(options)
        sys.stdout.flush()
    except CliError as error:
        sys.stdout.flush()
        print(f"heterofleet: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader has seen enough (`heterofleet status | head`); Python would complain again when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code
