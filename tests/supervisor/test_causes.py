"""Why an engine ended, found in what vLLM 0.32 says."""

from heterofleet.supervisor import causes

FRAMES = [
    "Traceback (most recent call last):",
    '  File "/opt/vllm/core.py", line 1482, in run_engine_core',
    "    engine_core = EngineCoreProc(*args)",
    "                  ^^^^^^^^^^^^^^^^^^^^^",
]


def said(process: str, *lines: str) -> list[str]:
    return [f"({process} pid=44) ERROR 11-25 09:34:20 [multiproc_executor.py:953] {line}" for line in lines]


def test_the_root_is_told_and_not_what_came_of_it():
    lines = [
        *said("Worker", *FRAMES, "safetensors.SafetensorError: Error while deserializing header: incomplete metadata"),
        *said("EngineCore", *FRAMES, "Exception: WorkerProc initialization failed. See stack trace for root cause."),
        *FRAMES,
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}",
    ]
    assert causes.of(lines) == "safetensors.SafetensorError: Error while deserializing header: incomplete metadata"


def test_a_sentence_goes_on_in_the_indented_line_behind_it():
    lines = [
        *FRAMES,
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig",
        "  Value error, The checkpoint has model type `no-such-model`",
        "    For further information visit https://errors.pydantic.dev",
    ]
    assert causes.of(lines) == (
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig"
        " Value error, The checkpoint has model type `no-such-model`"
    )


def test_a_line_that_mentions_an_error_is_none_and_a_long_one_is_cut():
    assert causes.of(["(Worker pid=1) INFO 11-25 09:34:20 [a.py:1] errors like OSError: too many", "bye"]) == ""
    assert causes.of([f"ValueError: {'x' * 1000}"]) == f"ValueError: {'x' * 1000}"[: causes.LONGEST]
