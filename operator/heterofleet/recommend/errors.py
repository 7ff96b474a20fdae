"""Why nothing can be recommended; the sentence says what to ask for instead.

Unrecommendable (ValueError)
├── NothingFits      no layout of a model fits the GPU
└── NothingHolds     no number of instances keeps the objective, within the bounds that were given
"""


class Unrecommendable(ValueError):
    """`str(error)` is one sentence for a person."""


class NothingFits(Unrecommendable):
    """No layout of a model fits the GPU."""


class NothingHolds(Unrecommendable):
    """No number of instances keeps the objective."""
