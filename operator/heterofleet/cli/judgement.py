"""What the operator would say of a fleet whose schema is sound: its shape, its fit, its pair, its overlays.

The questions are those of `Accepted` and `PairMatched`, and the answers come from the same pure code. Third step
of `validate`, after `schema`.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from heterofleet.api.conditions import Reason
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cli.yamltext import Path
from heterofleet.planning import acceptance
from heterofleet.planning.catalogue import Catalogue


class Severity(StrEnum):
    """An error keeps the fleet from running; a warning is for a person to weigh; a note is neither."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Judgement(NamedTuple):
    path: Path
    severity: Severity
    reason: Reason
    message: str


def judge(fleet: HeterogeneousDeployment, catalogue: Catalogue) -> Iterator[Judgement]:
    """Yield what the operator would refuse or warn of, as far as that can be known without a cluster."""
    for remark in acceptance.remarks(fleet.spec, catalogue):
        severity = Severity.ERROR if remark.refuses else Severity.WARNING
        # The place says which tier is meant; in a condition the sentence has to.
        message = remark.message.removeprefix(f"{remark.path[1]}: ")
        yield Judgement(remark.path, severity, remark.reason, message)
    yield from _overlays(fleet, catalogue)


def _overlays(fleet: HeterogeneousDeployment, catalogue: Catalogue) -> Iterator[Judgement]:
    spec = fleet.spec
    overlays = {
        "large": spec.large.pod_template,
        "small": spec.small.pod_template,
        "router": spec.router.pod_template,
    }
    overlaid = [name for name, overlay in overlays.items() if overlay is not None]
    if not overlaid:
        return
    from heterofleet.cli import rendering  # noqa: PLC0415  rendering is loaded only for those who overlay
    from heterofleet.desired.overlay import InvalidOverlay  # noqa: PLC0415

    platform = rendering.platform(catalogue)
    for name in overlaid:
        try:
            rendering.template(fleet, name, platform)
        except InvalidOverlay as error:
            yield Judgement(("spec", name, "podTemplate"), Severity.ERROR, Reason.INVALID_TEMPLATE, str(error))
