"""Says what vLLM makes of command lines, without an engine: `check_arguments.py < LINES`, with vLLM's own Python.

Standard input is a JSON list of command lines as pods run them (`["vllm", "serve", FOLDER, …]`); FOLDER holds a model's
config.json. The last line of the output is a JSON list with null for each that vLLM would start with, and for each
other one the sentence in which it refuses. What only a load shows (kernels, NCCL, memory) is not seen.
"""

import contextlib
import io
import json
import sys

from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
from vllm.utils.argparse_utils import FlexibleArgumentParser


def refusal(parser: FlexibleArgumentParser, arguments: list[str]) -> str | None:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed = parser.parse_args(arguments)
        validate_parsed_serve_args(parsed)
        parsed.model = parsed.model_tag
        AsyncEngineArgs.from_cli_args(parsed).create_engine_config(headless=parsed.headless)
    except SystemExit:
        return said.getvalue().strip().splitlines()[-1]
    except (ValueError, TypeError, AssertionError, NotImplementedError, RuntimeError, OSError) as exc:
        return f"{type(exc).__name__}: {exc}"
    return None


def main() -> None:
    parser = make_arg_parser(FlexibleArgumentParser())
    lines: list[list[str]] = json.load(sys.stdin)
    found = [refusal(parser, line[2:]) for line in lines]
    sys.stdout.write(f"\n{json.dumps(found)}\n")


if __name__ == "__main__":
    main()
