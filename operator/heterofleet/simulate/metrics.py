"""What an engine says of itself at /metrics, in the names, labels and buckets of vLLM 0.32 (v1/metrics/loggers.py).

Gauges and counters are read from the model when somebody asks; only what a finished sequence leaves behind, its times,
is kept here. The times are those that a client saw: with a time scale they shrink as everything does. Inter-token
latency is kept as each sequence's mean, once for each of its gaps.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

from heterofleet.simulate.driver import Choice
from heterofleet.simulate.engine import Engine

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_LATENCY: Final = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0,
    1920.0, 7680.0,
)  # fmt: skip
_TOKEN_GAP: Final = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
_FIRST_TOKEN: Final = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0,
    640.0, 2560.0,
)  # fmt: skip

_REASONS: Final = ("stop", "length", "abort", "error", "repetition")


class Histogram:
    """Counts of values by upper bound, written as Prometheus wants them."""

    __slots__ = ("_bounds", "_counts", "_help", "_name", "_sum")

    def __init__(self, name: str, words: str, bounds: Sequence[float]) -> None:
        self._name, self._help, self._bounds = name, words, tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value, or the same one several times."""
        self._counts[bisect_left(self._bounds, value)] += times
        self._sum += value * times

    def lines(self, labels: str) -> Iterable[str]:
        """The exposition of this histogram."""
        yield f"# HELP {self._name} {self._help}"
        yield f"# TYPE {self._name} histogram"
        total = 0
        for bound, number in zip((*map(float, self._bounds), "+Inf"), self._counts, strict=True):
            total += number
            yield f'{self._name}_bucket{{{labels},le="{bound}"}} {float(total)}'
        yield f"{self._name}_count{{{labels}}} {float(total)}"
        yield f"{self._name}_sum{{{labels}}} {self._sum}"


class Metrics:
    """All families of one engine."""

    def __init__(self, engine: Engine, model_name: str) -> None:
        self._engine = engine
        escaped = model_name.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
        self._labels = f'engine="0",model_name="{escaped}"'
        self._finished = dict.fromkeys(_REASONS, 0)
        sizes = _one_two_five(engine.profile.max_model_len)
        self._first = Histogram(
            "vllm:time_to_first_token_seconds", "Histogram of time to first token in seconds.", _FIRST_TOKEN
        )
        self._gap = Histogram(
            "vllm:inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", _TOKEN_GAP
        )
        self._mean_gap = Histogram(
            "vllm:request_time_per_output_token_seconds", "Histogram of time per output token per request.", _TOKEN_GAP
        )
        self._whole = Histogram(
            "vllm:e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", _LATENCY
        )
        self._queue = Histogram(
            "vllm:request_queue_time_seconds", "Histogram of time spent in WAITING phase.", _LATENCY
        )
        self._prefill = Histogram("vllm:request_prefill_time_seconds", "Histogram of time in PREFILL phase.", _LATENCY)
        self._decode = Histogram("vllm:request_decode_time_seconds", "Histogram of time in DECODE phase.", _LATENCY)
        self._inference = Histogram(
            "vllm:request_inference_time_seconds", "Histogram of time in RUNNING phase.", _LATENCY
        )
        self._prompt = Histogram("vllm:request_prompt_tokens", "Number of prefill tokens processed.", sizes)
        self._output = Histogram("vllm:request_generation_tokens", "Number of generation tokens processed.", sizes)
        self._cached = 0

    def observe(self, choice: Choice, finished_at: float, *, aborted: bool) -> None:
        """Count a sequence that is done; an aborted one has no times."""
        self._finished["abort" if aborted else choice.finish] += 1
        if aborted:
            return
        self._cached += choice.cached_tokens
        self._first.observe(choice.first_at - choice.submitted_at)
        self._whole.observe(finished_at - choice.submitted_at)
        self._queue.observe(choice.started_at - choice.submitted_at)
        self._prefill.observe(choice.first_at - choice.started_at)
        self._decode.observe(finished_at - choice.first_at)
        self._inference.observe(finished_at - choice.started_at)
        self._prompt.observe(choice.prompt_tokens)
        self._output.observe(choice.output_tokens)
        gaps = choice.output_tokens - 1
        if gaps:
            mean = (finished_at - choice.first_at) / gaps
            self._gap.observe(mean, gaps)
            self._mean_gap.observe(mean)

    def refuse(self) -> None:
        """Count a request that ended in an error of the engine."""
        self._finished["error"] += 1

    def text(self) -> str:
        """The exposition of all families, as of the engine's last event."""
        return "\n".join([*self._gauges(), *self._counters(), *self._histograms(), ""])

    def _gauges(self) -> Iterable[str]:
        load, profile = self._engine.load(), self._engine.profile
        yield from self._one("gauge", "vllm:num_requests_running", "Number of requests in batches.", load.running)
        yield from self._one("gauge", "vllm:num_requests_waiting", "Number of requests waiting.", load.waiting)
        yield from self._one(
            "gauge", "vllm:kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.",
            load.kv_tokens / profile.kv_tokens,
        )  # fmt: skip
        yield "# HELP vllm:cache_config_info Information of the LLMEngine CacheConfig"
        yield "# TYPE vllm:cache_config_info gauge"
        blocks = profile.kv_tokens // profile.block_tokens
        yield (
            f'vllm:cache_config_info{{block_size="{profile.block_tokens}",'
            f'enable_prefix_caching="{profile.prefix_caching}",engine="0",num_gpu_blocks="{blocks}"}} 1.0'
        )

    def _counters(self) -> Iterable[str]:
        totals = self._engine.totals()
        for name, words, value in (
            ("prefix_cache_queries", "Prefix cache queries, in terms of queried tokens.", totals.cache_queries),
            ("prefix_cache_hits", "Prefix cache hits, in terms of cached tokens.", totals.cache_hits),
            ("num_preemptions", "Cumulative number of preemption from the engine.", totals.preemptions),
            ("prompt_tokens", "Number of prefill tokens processed.", totals.prompt),
            ("prompt_tokens_cached", "Number of cached prompt tokens.", self._cached),
            ("generation_tokens", "Number of generation tokens processed.", totals.generated),
        ):
            yield from self._one("counter", f"vllm:{name}_total", words, value)
        yield "# HELP vllm:request_success_total Count of successfully processed requests."
        yield "# TYPE vllm:request_success_total counter"
        for reason, value in self._finished.items():
            yield f'vllm:request_success_total{{{self._labels},finished_reason="{reason}"}} {float(value)}'

    def _histograms(self) -> Iterable[str]:
        for histogram in (
            self._first, self._gap, self._mean_gap, self._whole, self._queue, self._inference, self._prefill,
            self._decode, self._prompt, self._output,
        ):  # fmt: skip
            yield from histogram.lines(self._labels)

    def _one(self, kind: str, name: str, words: str, value: float) -> Iterable[str]:
        yield f"# HELP {name} {words}"
        yield f"# TYPE {name} {kind}"
        yield f"{name}{{{self._labels}}} {float(value)}"


def _one_two_five(most: int) -> list[float]:
    """1, 2, 5, 10, 20, 50 and so on up to a number, as vLLM's buckets of token counts."""
    found: list[float] = []
    scale = 1
    while True:
        for factor in (1, 2, 5):
            if factor * scale > most:
                return found
            found.append(factor * scale)
        scale *= 10
