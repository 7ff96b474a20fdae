"""From a seed to the actions of one walk: pure, so that a failing seed is replayed as it was.

It follows which fleets exist and which operators run by what it has drawn itself, only to keep the walk lively;
it never knows what the cluster made of it.
"""

from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from randomwalk import specs
from randomwalk.actions import Action, Kind

LETTERS = ("a", "b")
SLOTS = ("one", "two")
PAUSES = ((0.0, 30), (0.1, 30), (0.5, 25), (1.5, 12), (3.0, 3))
CHILDREN = (
    "statefulsets",
    "deployments",
    "services",
    "configmaps",
    "controllerrevisions",
    "poddisruptionbudgets",
    "networkpolicies",
    "serviceaccounts",
    "roles",
    "rolebindings",
    "heterogeneoustiers",
    "replicasets",
)
LIMITED = ("statefulsets.apps", "deployments.apps", "configmaps", "services", "controllerrevisions.apps", "pods")
FIELDS = (
    "service-port",
    "service-selector",
    "deployment-replicas",
    "statefulset-replicas",
    "statefulset-template",
    "deployment-template",
    "budget",
    "config",
    "label",
)
WANTED_NAMES = ("router", "small", "large-1", "large-2")
TEXTS: dict[Kind, tuple[str, ...]] = {
    Kind.ANNOTATE: ("roll", "retry", "release"),
    Kind.DELETE_CHILD: CHILDREN,
    Kind.STEAL: FIELDS,
    Kind.SQUAT: WANTED_NAMES,
    Kind.LEAVE: WANTED_NAMES,
    Kind.QUOTA: LIMITED,
}
MARKS = (
    {"crash": "137"},
    {"crash": "exit-2", "crash-message": "out of memory"},
    {"crash": "oom"},
    {"crash-loop": "exit-1", "crash-back-off": "1s"},
    {"crash-loop": "exit-1", "crash-loop-after": "1s"},
    {"ready": "false"},
    {"waiting": "CreateContainerConfigError", "waiting-message": "secret not found"},
    {"waiting": "ImagePullBackOff", "waiting-message": "no such image"},
)

WEIGHTS: dict[Kind, int] = {
    Kind.EDIT: 26,
    Kind.SCALE: 9,
    Kind.ANNOTATE: 4,
    Kind.DELETE_CHILD: 8,
    Kind.DELETE_POD: 8,
    Kind.STEAL: 6,
    Kind.SQUAT: 2,
    Kind.LEAVE: 1,
    Kind.QUOTA: 2,
    Kind.NO_QUOTA: 2,
    Kind.MARK: 8,
    Kind.UNMARK: 4,
    Kind.BUSY: 3,
    Kind.CORDON: 2,
    Kind.UNCORDON: 2,
    Kind.LOSE_NODE: 1,
    Kind.RECOVER_NODE: 2,
    Kind.REMOVE_NODE: 1,
    Kind.ADD_NODE: 1,
    Kind.OUT_OF_SERVICE: 1,
    Kind.DELETE_FLEET: 2,
    Kind.START_OPERATOR: 6,
    Kind.KILL_OPERATOR: 3,
    Kind.STOP_OPERATOR: 2,
    Kind.FREEZE_OPERATOR: 1,
    Kind.THAW_OPERATOR: 2,
}
OFTEN = 6
SERVER_RESTARTS = 0.001
"""Chance of a step to restart the API server, which disturbs all walks on the cluster."""


@dataclass
class _Known:
    """What the walk has drawn so far."""

    fleets: set[str] = field(default_factory=set)


def generate(
    seed: int,
    steps: int,
    selector: dict[str, str],
    *,
    restarts_server: bool = True,
    often: tuple[Kind, ...] = (),
) -> tuple[Action, ...]:
    """The actions of a walk; without `restarts_server` the API server stays up, `often` are drawn much more often."""
    dice = Random(seed)
    known = _Known()
    weights = [weight * OFTEN if kind in often else weight for kind, weight in WEIGHTS.items()]
    actions = [Action(Kind.START_OPERATOR, SLOTS[0]), _create(dice, known, LETTERS[0], selector)]
    while len(actions) < steps:
        if dice.random() < SERVER_RESTARTS:
            restart = Action(Kind.RESTART_SERVER, pause=_pause(dice))
            actions += [restart] if restarts_server else []
            continue
        absent = [letter for letter in LETTERS if letter not in known.fleets]
        if absent and dice.random() < 0.15:
            actions.append(_create(dice, known, dice.choice(absent), selector))
            continue
        kind = dice.choices(list(WEIGHTS), weights)[0]
        actions.append(_draw(dice, known, kind))
    return tuple(actions)


class Ending(NamedTuple):
    """What is drawn of the time after the last action."""

    operates_alone: bool
    releases: bool
    deletes_unwatched: bool
    propagation: str


def ending(seed: int) -> Ending:
    """How the walk of a seed ends."""
    dice = Random(f"after {seed}")
    alone, releases, unwatched = (dice.random() < 0.5 for _ in range(3))
    return Ending(alone, releases, unwatched, dice.choice(("Background", "Foreground")))


def _create(dice: Random, known: _Known, letter: str, selector: dict[str, str]) -> Action:
    known.fleets.add(letter)
    return Action(Kind.CREATE, letter, body=specs.fleet(dice, selector), pause=_pause(dice))


def _draw(dice: Random, known: _Known, kind: Kind) -> Action:
    letter = dice.choice(sorted(known.fleets) or LETTERS)
    pick, pause = round(dice.random(), 3), _pause(dice)
    match kind:
        case Kind.EDIT:
            return Action(kind, letter, body=specs.edit(dice), pause=pause)
        case Kind.DELETE_FLEET:
            known.fleets.discard(letter)
            return Action(kind, letter, text=dice.choice(("Background", "Foreground")), pause=pause)
        case Kind.SCALE:
            tier = dice.choice(("large", "small"))
            return Action(kind, letter, text=tier, number=dice.randint(0, 3 if tier == "large" else 7), pause=pause)
        case Kind.DELETE_POD:
            return Action(kind, letter, pick, number=int(dice.random() < 0.4), pause=pause)
        case Kind.MARK:
            return Action(kind, letter, pick, body=dice.choice(MARKS), pause=pause)
        case Kind.BUSY:
            return Action(kind, letter, pick, number=dice.choice((0, 1, 5)), pause=pause)
        case Kind.START_OPERATOR | Kind.KILL_OPERATOR | Kind.STOP_OPERATOR | Kind.FREEZE_OPERATOR:
            return Action(kind, dice.choice(SLOTS), pause=pause)
        case _ if kind in TEXTS:
            return Action(kind, letter, pick, dice.choice(TEXTS[kind]), dice.randint(0, 3), pause=pause)
        case _:
            return Action(kind, letter, pick, pause=pause)


def _pause(dice: Random) -> float:
    return dice.choices([seconds for seconds, _ in PAUSES], [weight for _, weight in PAUSES])[0]
