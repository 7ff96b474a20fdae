"""How pods and nodes behave: KWOK stages, steered pod by pod with annotations ("marks").

Without a mark a bound pod is Ready at once. The marks, set in a pod template or on a running pod:

- ``pod-ready.stage.kwok.x-k8s.io/delay`` (and ``jitter-delay``, a random instant up to it): start-up time of each
  run of the containers, as a Go duration; the containers run but are not ready.
- ``testbed.heterofleet.io/init-delay``: how long the init containers run.
- ``.../crash``: ``137``, ``exit-2``, ``oom``: the first container exits once, then starts again in place after
  ``.../restart-delay`` (200ms); ``.../crash-message`` is its termination message. The mark is taken away when played.
- ``.../crash-loop``: the same in every run, at once or ``.../crash-loop-after`` being Ready, with CrashLoopBackOff of
  ``.../crash-back-off`` (1s) from the second on.
- ``.../waiting`` (and ``waiting-message``): the containers wait for that reason, such as CreateContainerConfigError,
  until the mark is gone.
- ``.../ready: "false"``: the readiness probe fails.
- ``.../termination-delay``: the pod stays Terminating that long (whole seconds), at most for its grace period.
- ``pod-complete.stage.kwok.x-k8s.io/delay``: when a pod whose restartPolicy is not Always succeeds.
"""

from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]

FOLDER = Path(__file__).parent / "stages"
MARK = "testbed.heterofleet.io/"
START_UP = "pod-ready.stage.kwok.x-k8s.io/delay"
CRASH = f"{MARK}crash"
CRASH_LOOP = f"{MARK}crash-loop"
CRASH_MESSAGE = f"{MARK}crash-message"
WAITING = f"{MARK}waiting"
READY = f"{MARK}ready"
INIT_DELAY = f"{MARK}init-delay"
RESTART_DELAY = f"{MARK}restart-delay"
TERMINATION_DELAY = f"{MARK}termination-delay"


def load() -> list[Manifest]:
    """The Stage documents of this folder, each pod expression preceded by the prelude that defines its words."""
    words = (FOLDER / "prelude.jq").read_text()
    templates = (FOLDER / "prelude.tpl").read_text()
    node = list(yaml.safe_load_all((FOLDER / "node.yaml").read_text()))
    pod = list(yaml.safe_load_all((FOLDER / "pod.yaml").read_text()))
    return [*node, *(_expanded(stage, words, templates) for stage in pod)]


def _expanded(stage: Manifest, words: str, templates: str) -> Manifest:
    spec = stage["spec"]
    for expression in spec["selector"]["matchExpressions"]:
        expression["jq"]["key"] = words + expression["jq"]["key"]
    if "delay" in spec:
        source = spec["delay"]["durationFrom"]["jq"]
        source["expression"] = words + source["expression"]
    for step in spec["steps"]:
        if "patch" in step:
            step["patch"]["template"] = templates + step["patch"]["template"]
    return stage
