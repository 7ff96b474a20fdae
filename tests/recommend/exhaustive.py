"""The best fleet of a space by playing every setting of it: what the search is held against."""

from heterofleet.recommend.search import Space
from heterofleet.recommend.trials import Played, Trials


def best(trials: Trials, space: Space) -> Played:
    """The setting of the fewest GPU-hours that holds its objective."""
    played = [trials.whole(setting) for setting in space.settings(trials)]
    return min((each for each in played if each.holds), key=lambda each: each.gpu_hours)
