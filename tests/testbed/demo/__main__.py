"""`python -m testbed.demo [fleet]`: plays one chapter; exits non-zero if a step shows other than it says."""

import os
import sys
from pathlib import Path

from testbed.demo import chapter_fleet
from testbed.demo.stage import StepFailed

CHAPTERS = {"fleet": chapter_fleet}


def main() -> int:
    chapter = os.environ.get("CHAPTER") or "fleet"
    if chapter not in CHAPTERS:
        print(f"demo: there is no chapter {chapter!r}; there is: {', '.join(CHAPTERS)}", file=sys.stderr)
        return 2
    keep = os.environ.get("KEEP", "") not in ("", "0")
    try:
        CHAPTERS[chapter].play(keep=keep, folder=Path("build", "demo").resolve())
    except StepFailed:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
