"""What is written for a load is a fleet that validates, whatever its size: no search, and no cluster."""

from itertools import zip_longest

import pytest

from heterofleet.api.labels import Tier
from heterofleet.cli import findings, output
from heterofleet.cli.judgement import Severity
from heterofleet.planning import capacity, catalogue
from heterofleet.recommend import candidates, manifest
from heterofleet.recommend.manifest import Bounds, Setting
from heterofleet.recommend.modelpairs import PAIRS
from heterofleet.recommend.wishes import Wishes

KNOWN = catalogue.load()
BOUNDS = {30: Bounds(1, 8), 300: Bounds(12, 80), 3000: Bounds(120, 1000)}
"""`instances` of a tier as loads of so many requests a second take them, up to the API's own bound."""


@pytest.mark.parametrize("qps", BOUNDS)
@pytest.mark.parametrize("pair", PAIRS)
def test_every_shape_that_may_be_recommended_is_written_as_a_fleet_that_validates(pair: str, qps: int) -> None:
    wishes = Wishes(pair=PAIRS[pair], name=f"for-{qps}")
    contexts = {tier: candidates.context(tier, wishes, KNOWN) for tier in Tier}
    fitting = {tier: candidates.fitting(tier, wishes, KNOWN, capacity.USUAL) for tier in Tier}
    refused = []
    for large, small in zip_longest(*fitting.values()):
        cut = {Tier.LARGE: large or fitting[Tier.LARGE][0], Tier.SMALL: small or fitting[Tier.SMALL][0]}
        shapes = {tier: candidate.shape for tier, candidate in cut.items()}
        setting = Setting(shapes, dict.fromkeys(Tier, BOUNDS[qps]), quantile=0.95)
        examined = findings.examine(output.manifests([manifest.body(wishes, setting, contexts)]), KNOWN)
        assert len(examined.fleets) == 1
        refused += [found.message for found in examined.findings if found.severity is Severity.ERROR]
    assert refused == []
