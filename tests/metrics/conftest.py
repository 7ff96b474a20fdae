"""What tests of rules need of this machine."""

import pytest

from testbed import prometheus


@pytest.fixture
def needs_promtool() -> None:
    """Skips where there is no promtool."""
    try:
        prometheus.promtool()
    except prometheus.MissingError:
        pytest.skip("promtool is missing")
