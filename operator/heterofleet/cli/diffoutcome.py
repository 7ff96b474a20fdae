"""What becomes of one fleet of a file, if it were applied: asked of the cluster, which writes nothing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cli import access, diffchange, difffields
from heterofleet.cli.access import Api
from heterofleet.cli.difffields import Field, Roll
from heterofleet.cluster import errors

_UNKNOWN_FIELD: Final = re.compile(r'unknown field "([^"]+)"|(?<=: )\.(\S+): field not declared in schema')
"""A merge patch is refused with the first sentence, behind the whole object; an apply with the second."""

_PREFIX: Final = re.compile(r'^\S+ "[^"]+" is invalid: ')
"""The server names the object again, which stands at the head of the line."""


class Verdict(StrEnum):
    SAME = "Same"
    DIFFERS = "Differs"
    NEW = "New"
    REFUSED = "Refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`rolls` None where it cannot be told; `message` is the server's sentence where it refuses."""

    namespace: str
    name: str
    verdict: Verdict
    fields: tuple[Field, ...] = ()
    rolls: tuple[Roll, ...] | None = ()
    message: str = ""

    def as_values(self) -> Mapping[str, Any]:
        """The same for programs."""
        return {
            "namespace": self.namespace,
            "fleet": self.name,
            "verdict": str(self.verdict),
            "fields": [
                {
                    "path": difffields.dotted(one.path),
                    "before": one.before,
                    "after": one.after,
                    "rolls": [str(role) for role in one.rolls],
                }
                for one in self.fields
            ],
            "rolls": None if self.rolls is None else [str(roll.role) for roll in self.rolls],
            "message": self.message,
        }


async def of(api: Api, fleet: HeterogeneousDeployment, namespace: str) -> Outcome:
    """Ask what applying `fleet` would change. Raises ClusterError where nothing can be asked."""
    name = fleet.metadata.name
    path = f"{access.fleets(namespace)}/{name}"
    try:
        live = await api.get(path)
    except errors.NotFound as error:
        if not access.names_an_object(error):
            raise
        live = None
    try:
        wanted = await api.try_out(path, diffchange.of(fleet, namespace, live))
    except (errors.Invalid, errors.Conflict, errors.NotFound) as error:
        return Outcome(namespace, name, Verdict.REFUSED, message=_sentence(error))
    except errors.Unavailable as error:
        # An apply of a field that the server does not know is answered with 500, as if the server were at fault.
        if not _UNKNOWN_FIELD.search(str(error)):
            raise
        return Outcome(namespace, name, Verdict.REFUSED, message=_sentence(error))
    if live is None:
        return Outcome(namespace, name, Verdict.NEW)
    fields = difffields.differing(live, wanted)
    verdict = Verdict.DIFFERS if fields else Verdict.SAME
    return Outcome(namespace, name, verdict, fields, difffields.rolls(live, wanted))


def _sentence(error: errors.ClusterError) -> str:
    """A field that we know and the server does not is one of a newer resource definition than the cluster's."""
    unknown = _UNKNOWN_FIELD.findall(str(error))
    if unknown:
        named = ", ".join(merged or applied for merged, applied in unknown)
        return (
            f"the cluster's resource definition is older and has no {named}: upgrade Heterofleet there, or leave it out"
        )
    return _PREFIX.sub("", " ".join(str(error).split()))
