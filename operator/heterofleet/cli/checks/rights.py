"""The rights of whoever asks: what this person needs to work with fleets in this namespace."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from heterofleet.api import labels
from heterofleet.cli.checks.result import Question, Result, Verdict


class _Right(NamedTuple):
    verbs: tuple[str, ...]
    resource: str
    group: str = labels.GROUP
    subresource: str = ""

    def named(self, verb: str) -> str:
        return f"{verb} {self.resource}{f'/{self.subresource}' if self.subresource else ''}"


_SEE: Final = (
    _Right(("get", "list", "watch"), labels.FLEET_PLURAL),
    _Right(("list",), "pods", ""),
)
_CHANGE: Final = (
    _Right(("create", "patch", "delete"), labels.FLEET_PLURAL),
    _Right(("patch",), labels.TIER_PLURAL),
    _Right(("patch",), labels.TIER_PLURAL, subresource="scale"),
)


async def own(question: Question) -> Iterable[Result]:
    see = [name for right in _SEE for name in await _missing(question, right)]
    change = [name for right in _CHANGE for name in await _missing(question, right)]
    where = f"in namespace {question.namespace}"
    if not see and not change:
        return [Result("Your rights", Verdict.OK, f"you may see and change fleets {where}")]
    lacking = ", ".join([*see, *change])
    verdict = Verdict.FAIL if see else Verdict.WARN
    advice = "ask an administrator to bind you to the cluster role edit there, or choose another --namespace"
    return [Result("Your rights", verdict, f"{where} you may not {lacking}", advice)]


async def _missing(question: Question, right: _Right) -> list[str]:
    return [right.named(verb) for verb in right.verbs if not await _may(question, right, verb)]


async def _may(question: Question, right: _Right, verb: str) -> bool:
    attributes = {"namespace": question.namespace, "verb": verb, "group": right.group, "resource": right.resource}
    if right.subresource:
        attributes["subresource"] = right.subresource
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = await question.api.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    return bool(answer["status"]["allowed"])
