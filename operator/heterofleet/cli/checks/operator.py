"""The operator itself: is one installed, does it run, was it seen just now."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from heterofleet.cli import ages, freshness
from heterofleet.cli.checks.result import Question, Result, Verdict
from heterofleet.cluster import errors

_SELECTOR: Final = "app.kubernetes.io/name=heterofleet,app.kubernetes.io/component=operator"
_SUBJECT: Final = "Operator"


async def running(question: Question) -> Iterable[Result]:
    found = await freshness.operator(question.api)
    now = datetime.now(UTC)
    if found is None:
        return [Result(_SUBJECT, Verdict.WARN, "you may not read its Lease", "ask an administrator whether it runs")]
    if found.renewed is not None and not found.gone(now):
        return [Result(_SUBJECT, Verdict.OK, f"{found.holder} in {found.namespace} was seen just now")]
    seen = f"was last seen {ages.elapsed(now - found.renewed)} ago" if found.renewed else "has never run here"
    return [Result(_SUBJECT, Verdict.FAIL, seen, await _advice(question))]


async def _advice(question: Question) -> str:
    try:
        deployments = await question.api.list("/apis/apps/v1/deployments", {"labelSelector": _SELECTOR})
    except errors.Forbidden:
        return "ask an administrator to install or to start it"
    if not deployments:
        return (
            "install it: helm install heterofleet charts/heterofleet --namespace heterofleet-system --create-namespace"
        )
    metadata = deployments[0]["metadata"]
    where = f"--namespace {metadata['namespace']}"
    if not deployments[0]["spec"].get("replicas", 1):
        return f"it has no replicas: kubectl scale deployment {metadata['name']} {where} --replicas 2"
    return f"see why: kubectl describe pods {where} --selector {_SELECTOR.split(',')[1]}"
