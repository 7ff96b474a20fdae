"""What the last soak of the routers found, where there was one (`make soak-router` writes build/soak/router.json)."""

import json
from pathlib import Path
from typing import Any, Final

REPORT: Final = Path("build", "soak", "router.json")


def unnamed_failures(path: Path = REPORT) -> int | None:
    """Failures that clients saw and that no policy names; None where no soak has been run."""
    if not path.exists():
        return None
    document: dict[str, Any] = json.loads(path.read_text())
    return int(document["unnamed_failures"])
