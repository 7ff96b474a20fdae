"""Which items of `engine.extraArgs` contradict a typed field, and which field that is.

The API's own rule refuses the list as a whole; a person wants to know the argument and its line.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from heterofleet.api import engine
from heterofleet.cli.yamltext import Path

RULE: Final = engine.Engine.RULES[0]
"""The rule whose sentence `reserved` replaces by better ones."""

_TYPED_FIELDS: Final[Mapping[str, str]] = {
    "--model": "model.source",
    "--revision": "model.revision",
    "--served-model-name": "model.servedName",
    "--tensor-parallel-size": "parallelism.tensor",
    "-tp": "parallelism.tensor",
    "--pipeline-parallel-size": "parallelism.pipeline",
    "-pp": "parallelism.pipeline",
    "--data-parallel-size": "parallelism.data",
    "-dp": "parallelism.data",
    "--enable-expert-parallel": "parallelism.expertParallel",
    "-ep": "parallelism.expertParallel",
    "--nnodes": "parallelism.gpusPerPod",
    "-n": "parallelism.gpusPerPod",
    "--gpu-memory-utilization": "engine.gpuMemoryUtilization",
    "--device-memory-utilization": "engine.gpuMemoryUtilization",
    "--hf-token": "model.tokenSecret",
    "--max-model-len": "engine.maxModelLen",
    "--max-num-seqs": "engine.maxNumSeqs",
    "--max-num-batched-tokens": "engine.maxNumBatchedTokens",
    "--dtype": "engine.dtype",
    "--enable-prefix-caching": "engine.prefixCaching",
    "--no-enable-prefix-caching": "engine.prefixCaching",
    "--shutdown-timeout": "lifecycle.drainTimeoutSeconds",
    "--download-dir": "storage.cache",
}
"""Where what a reserved argument sets is written; arguments that are not here are the operator's own."""


def reserved(body: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Yield place and sentence of each argument that may not stand there."""
    for name in ("large", "small"):
        path: Path = ("spec", name, "engine", "extraArgs")
        arguments = _at(body, path)
        for index, argument in enumerate(arguments if isinstance(arguments, list) else ()):
            flag = engine.reserved(str(argument))
            if flag is not None:
                field = _TYPED_FIELDS.get(flag)
                mend = f"write spec.{name}.{field} instead" if field else "leave it out, the operator sets it"
                yield (*path, index), f"{_named(str(argument), flag)} may not stand in extraArgs: {mend}"


def _named(argument: str, flag: str) -> str:
    """vLLM takes abbreviations, whose writers may not know what they stand for."""
    written = argument.split("=", maxsplit=1)[0]
    return flag if written.replace("_", "-") == flag else f"{written}, short for {flag},"


def _at(body: Any, path: Path) -> Any:
    for step in path:
        if not isinstance(body, Mapping):
            return None
        body = body.get(str(step))
    return body
