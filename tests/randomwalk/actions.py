"""What a random walk can do, as values: one kind of action each, and the numbers that it draws.

An action names no object that only the cluster knows. Where it needs one ("some pod") it carries a number between
0 and 1, which the performer turns into one of those that exist then; so a seed always gives the same actions, and
only what they hit depends on the timing.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Manifest = dict[str, Any]


class Kind(StrEnum):
    """Everything that people, machines and fate do to a fleet and its operators."""

    CREATE = "create"
    EDIT = "edit"
    DELETE_FLEET = "delete-fleet"
    ANNOTATE = "annotate"
    SCALE = "scale"
    DELETE_CHILD = "delete-child"
    DELETE_POD = "delete-pod"
    STEAL = "steal"
    SQUAT = "squat"
    LEAVE = "leave"
    QUOTA = "quota"
    NO_QUOTA = "no-quota"
    MARK = "mark"
    UNMARK = "unmark"
    BUSY = "busy"
    CORDON = "cordon"
    UNCORDON = "uncordon"
    LOSE_NODE = "lose-node"
    RECOVER_NODE = "recover-node"
    REMOVE_NODE = "remove-node"
    ADD_NODE = "add-node"
    OUT_OF_SERVICE = "out-of-service"
    START_OPERATOR = "start-operator"
    KILL_OPERATOR = "kill-operator"
    STOP_OPERATOR = "stop-operator"
    FREEZE_OPERATOR = "freeze-operator"
    THAW_OPERATOR = "thaw-operator"
    RESTART_SERVER = "restart-server"


@dataclass(frozen=True)
class Action:
    """One step: what, to whom, with which numbers, and how long to rest afterwards."""

    kind: Kind
    target: str = ""
    """A fleet's letter or an operator's slot."""
    pick: float = 0.0
    text: str = ""
    number: int = 0
    body: Manifest = field(default_factory=dict)
    pause: float = 0.0

    def to_json(self) -> Manifest:
        """Everything that is not a default, for the report."""
        told = {"pick": self.pick, "text": self.text, "number": self.number, "body": self.body}
        return {
            "kind": str(self.kind),
            "target": self.target,
            **{key: value for key, value in told.items() if value},
            "pause": self.pause,
        }
