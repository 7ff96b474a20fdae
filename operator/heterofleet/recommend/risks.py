"""What may turn out otherwise than the recommendation says, each as one sentence with what to do about it."""

from collections.abc import Iterator
from typing import Final

from heterofleet.api.labels import Tier
from heterofleet.planning.pairs import Match
from heterofleet.recommend.loadprofile import LoadProfile
from heterofleet.recommend.manifest import Setting
from heterofleet.recommend.wishes import Wishes

_WEEK_DAYS: Final = 7.0
_NEAR: Final = 0.8


def of(
    profile: LoadProfile, wishes: Wishes, setting: Setting, match: Match, *, made_up: bool, break_even: float
) -> tuple[str, ...]:
    """The risks of a recommendation, those of the models first."""
    return tuple(_risks(profile, wishes, setting, match, made_up=made_up, break_even=break_even))


def _risks(
    profile: LoadProfile, wishes: Wishes, setting: Setting, match: Match, *, made_up: bool, break_even: float
) -> Iterator[str]:
    if match.matched is not True:
        yield f"{match.message} Tool calls and stop words may read differently: try both models with your prompts."
    yield (
        "What an instance carries is computed from the sizes of model and GPU: the fleet measures it itself from its"
        " first day on, or name a measured engine to `heterofleet simulate --profile`."
    )
    if not profile.escalation_measured:
        yield (
            f"Escalations are assumed ({profile.escalation:.0%}): measure them with mode Advisory or a part of the"
            f" traffic; from {break_even:.0%} on nothing is saved."
        )
    if made_up:
        yield "The load is made up from answers: run this again with a trace or a Prometheus when there is one."
    elif profile.days < 1:
        yield "The trace is shorter than a day, so that no forecast had learned anything: give a longer one."
    elif profile.days < _WEEK_DAYS:
        yield f"The trace has {profile.days:.1f} days: nobody knows the load of the others of a week."
    if setting.bounds[Tier.LARGE].least == 1:
        yield "One large instance may be all there is at night: set large.instances.min to 2 to outlive its loss."
    if wishes.weights:
        yield f"Weights are kept in {wishes.weights} of each node (hostPath); where that is forbidden, write a claim."
