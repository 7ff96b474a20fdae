"""The API server: its version, our resources in it, and the APIs that fleets use where they are there."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from heterofleet.api import crd, labels
from heterofleet.api.labels import Manifest
from heterofleet.cli.checks.result import Question, Result, Verdict
from heterofleet.cluster import errors

_OLDEST: Final = (1, 30)
_INSTALL: Final = "install the chart, or: kubectl apply --server-side -f manifests/install.yaml"


async def version(question: Question) -> Iterable[Result]:
    found = await question.api.get("/version")
    numbers = (_number(found["major"]), _number(found["minor"]))
    oldest = ".".join(map(str, _OLDEST))
    if numbers < _OLDEST:
        advice = f"upgrade the cluster to {oldest} or newer"
        return [Result("Kubernetes", Verdict.FAIL, f"{found['gitVersion']} is older than {oldest}", advice)]
    return [Result("Kubernetes", Verdict.OK, str(found["gitVersion"]))]


async def definitions(question: Question) -> Iterable[Result]:
    return [await _definition(question, ours) for ours in crd.definitions()]


async def _definition(question: Question, ours: Manifest) -> Result:
    name = ours["metadata"]["name"]
    subject = str(ours["spec"]["names"]["kind"])
    try:
        theirs = await question.api.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}")
    except errors.NotFound:
        return Result(subject, Verdict.FAIL, "its CustomResourceDefinition is not installed", _INSTALL)
    except errors.Forbidden:
        return await _served(question, subject, str(ours["spec"]["names"]["plural"]))
    versions = {item["name"]: item for item in theirs["spec"]["versions"]}
    served = versions.get(labels.VERSION)
    if served is None or not served.get("served"):
        return Result(subject, Verdict.FAIL, f"{labels.VERSION} is not served, only {', '.join(versions)}", _INSTALL)
    lacking = sorted(set(_fields(_schema(ours))) - set(_fields(served["schema"]["openAPIV3Schema"])))
    if lacking:
        finding = f"the installed definition is older than this command and lacks {_few(lacking)}"
        return Result(subject, Verdict.WARN, finding, f"upgrade it: {_INSTALL}")
    return Result(subject, Verdict.OK, f"{labels.VERSION} is served")


async def _served(question: Question, subject: str, plural: str) -> Result:
    """Everybody may read which resources there are, if not their definitions."""
    try:
        found = await question.api.get(f"/apis/{labels.API_VERSION}")
    except errors.NotFound:
        return Result(subject, Verdict.FAIL, f"{labels.API_VERSION} is not served", _INSTALL)
    if plural in {resource["name"] for resource in found["resources"]}:
        return Result(subject, Verdict.OK, f"{labels.VERSION} is served")
    return Result(subject, Verdict.FAIL, "is not served", _INSTALL)


async def optional(question: Question) -> Iterable[Result]:
    groups = await question.api.get("/apis")
    served = {item["groupVersion"] for group in groups["groups"] for item in group["versions"]}
    if "monitoring.coreos.com/v1" in served:
        monitoring = Result("Prometheus", Verdict.OK, "PodMonitors and PrometheusRules are made for each fleet")
    else:
        monitoring = Result(
            "Prometheus",
            Verdict.WARN,
            "monitoring.coreos.com/v1 is not served, so fleets bring no scraping and no alerts",
            "install the Prometheus operator, at any time; or scrape ports named http and metrics yourself",
        )
    gangs = sorted(version for version in served if version.startswith("scheduling.k8s.io/"))
    names = set()
    for group_version in gangs:
        resources = (await question.api.get(f"/apis/{group_version}"))["resources"]
        names |= {resource["name"] for resource in resources}
    how = "by the scheduler (PodGroup)" if "podgroups" in names else "by the operator, which waits for room for all"
    return [monitoring, Result("Gang scheduling", Verdict.OK, f"groups are placed whole {how}")]


def _schema(definition: Manifest) -> Mapping[str, Any]:
    schema: Mapping[str, Any] = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _fields(schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for name, child in (schema.get("properties") or {}).items():
        yield f"{path}{name}"
        yield from _fields(child, f"{path}{name}.")
    if "items" in schema:
        yield from _fields(schema["items"], path)


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more fields" if len(names) > 3 else "")


def _number(text: str) -> int:
    """Some providers write `30+`."""
    digits = re.match(r"\d+", text)
    return int(digits[0]) if digits else 0
