"""Each defence of the threat model names a test that exists."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"`((?:tests/)?[\w/]*test_\w+\.py)`")


def test_every_test_that_the_threat_model_names_is_there() -> None:
    named = set(NAMED.findall((ROOT / "docs" / "threat-model.md").read_text("utf-8")))
    there = {str(file.relative_to(ROOT)) for file in (ROOT / "tests").rglob("test_*.py")}
    there |= {Path(file).name for file in there}
    assert len(named) > 20
    assert named - there == set()
