"""`python -m testbed.demo`: plays the chapter that $CHAPTER names, all unless given; exits non-zero if a step fails."""

import os
import sys
from pathlib import Path

from testbed.demo import chapter_fleet, chapter_router, chapter_scaling
from testbed.demo.stage import StepFailed

CHAPTERS = {"fleet": chapter_fleet, "router": chapter_router, "scaling": chapter_scaling}


def main() -> int:
    wanted = os.environ.get("CHAPTER") or ",".join(CHAPTERS)
    keep = os.environ.get("KEEP", "") not in ("", "0")
    for chapter in wanted.split(","):
        if chapter not in CHAPTERS:
            print(f"demo: there is no chapter {chapter!r}; there is: {', '.join(CHAPTERS)}", file=sys.stderr)
            return 2
    try:
        for chapter in wanted.split(","):
            CHAPTERS[chapter].play(keep=keep, folder=Path("build", "demo", chapter).resolve())
    except StepFailed:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
