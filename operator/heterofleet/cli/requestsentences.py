"""What a router did with one request and why, in sentences: pure, from the lines of its logs.

The words of the log are the router's enums (`router.tiering.Why`, `router.policy.Outcome` and `Step`,
`router.rulings.Verdict`). A word that is not known here, of a newer router, is shown as it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

Line = Mapping[str, Any]

_ENDINGS: Final = {
    "ok": "answered",
    "flawed": "answered, though the answer was judged bad and none was better",
    "cached": "answered from a cache",
    "reviewed": "answered after a person's review",
    "client_error": "refused: the request was wrong",
    "unauthorised": "refused: the key was missing or not known",
    "denied": "denied by a compliance rule",
    "budget": "refused: the budget was used up",
    "rejected": "refused: there was no room",
    "failed": "failed",
    "cut_off": "cut off in the middle of its answer",
    "cancelled": "given up: its client left",
}
_TIER_REASONS: Final = {
    "Pinned": "its client named that tier",
    "Class": "that is the tier of its class",
    "Bias": "the planner moves a share of such requests there",
    "TenantBudget": "its tenant has spent most of its budget",
    "FleetBudget": "the fleet's budget of the day is short",
    "SmallTierFails": "too few of the small tier's answers were good of late",
}
_OUTCOMES: Final = {
    "good": "a good answer",
    "bad": "a bad answer",
    "client_error": "the engine refused the request",
    "client_gone": "the client left",
    "unavailable": "no engine of the tier could be asked",
    "connect_failed": "no connection",
    "engine_busy": "the engine was busy",
    "engine_error": "the engine failed",
    "timeout": "no answer in time",
    "stalled": "the answer stopped coming",
    "closed_early": "the engine closed the connection",
    "malformed": "what came was no answer",
}
_STEPS: Final = {
    "retry": "another engine of the tier was asked",
    "adjust": "it was asked again with other parameters",
    "escalate": "the large tier was asked",
    "fallback": "the other tier was asked",
    "compare": "the large tier's answer was compared and differed",
    "review": "it was held for a person",
    "cached": "a cached answer was looked for",
    "fail": "it was given up",
}
_REVIEWS: Final = {
    "Accepted": "a person accepted one of the answers",
    "Edited": "a person wrote the answer",
    "Rejected": "a person rejected all answers",
    "TimedOut": "nobody settled it in time, and the best answer was given",
    "NotHeld": "it could not be held, and the best answer was given",
}


def explanation(lines: Sequence[Line]) -> Iterator[str]:
    """Sentences on every request among `lines`, which are of one id; audited decisions stand with them."""
    for line in lines:
        if "audit" not in line:
            yield from _request(line)
    yield from (_ruling(line) for line in lines if "audit" in line)


def _request(line: Line) -> Iterator[str]:
    yield _heading(line)
    if line.get("classReason"):
        yield f"It is of class {line['class']}: {line['classReason']}."
    yield from _tier(line)
    if line.get("cache"):
        age = ", however old, since no engine worked" if line["cache"] == "stale" else ""
        yield f"The answer came from the {line['cache']} cache{age}."
    yield from (_attempt(number, tried) for number, tried in enumerate(line.get("attempts") or (), 1))
    if line.get("review"):
        yield _capital(f"{_REVIEWS.get(line['review'], line['review'])}.")
    if line.get("degraded"):
        yield "The response said that it was of less quality than asked for (x-heterofleet-degraded)."
    if line.get("sentence"):
        yield f'The client was told: "{line["sentence"]}".'
    yield from _took(line)


def _heading(line: Line) -> str:
    asked = [str(line.get("operation", "request"))]
    if line.get("model"):
        asked.append(f"model {line['model']}")
    if line.get("stream"):
        asked.append("streamed")
    tenant = f" of tenant {line['tenant']}" if line.get("tenant") else ""
    at = datetime.fromtimestamp(line["at"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    ending = _ENDINGS.get(line["outcome"], line["outcome"])
    status = f" ({line['status']})" if line.get("status") else ""
    said = f"{ending}{status}, {_seconds(line['seconds'])}"
    return f"Request {line['id']} ({', '.join(asked)}){tenant} ended at {at}: {said}."


def _tier(line: Line) -> Iterator[str]:
    if not line.get("tierReason"):
        if line.get("endpoint") and not line.get("attempts"):
            yield f"{line['endpoint']} answered well at once."  # Beside the tiers, as engines of embeddings do.
        return
    chosen = line.get("chosenTier", line["tier"])
    yield f"It was for the {chosen} tier: {_TIER_REASONS.get(line['tierReason'], line['tierReason'])}."
    attempts = line.get("attempts") or ()
    if not attempts and line.get("endpoint"):
        spilled = "" if chosen == line["tier"] else f", of the {line['tier']} tier, which had room to spare,"
        yield f"{line['endpoint']}{spilled} answered well at once."


def _attempt(number: int, tried: Line) -> str:
    where = f"at {tried['endpoint']} ({tried['tier']})" if tried.get("endpoint") else f"at the {tried['tier']} tier"
    what = _OUTCOMES.get(tried["outcome"], tried["outcome"])
    flaw = f" ({tried['flaw']})" if tried.get("flaw") else ""
    then = _STEPS.get(tried.get("then") or "")
    return f"Attempt {number} {where}: {what}{flaw}{f'; {then}' if then else ''}."


def _took(line: Line) -> Iterator[str]:
    times = []
    if line.get("waitedSeconds"):
        times.append(f"it waited {_seconds(line['waitedSeconds'])} for a place")
    if line.get("firstTokenSeconds"):
        times.append(f"the first token came after {_seconds(line['firstTokenSeconds'])}")
    if times:
        yield _capital(f"{', and '.join(times)}.")
    if "promptTokens" in line:
        tokens = f"{line['promptTokens']} tokens of prompts and {line['completionTokens']} of answers"
        usd = f", {line['usd']:.6f} USD at posted prices" if line.get("usd") else ""
        yield f"Its attempts took {tokens}{usd}."


def _ruling(line: Line) -> str:
    of, _, action = str(line["action"]).partition("_")
    times = f" in {line['count']} places" if line.get("count", 1) > 1 else ""
    return f"The compliance rule {line['rule']} {action} the {of}{times}."


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 10 else f"{seconds:.3f} s"


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
