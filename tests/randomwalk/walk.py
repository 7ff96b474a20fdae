"""One walk: the drawn actions, then healing, rest and the end, then the judgement.

act      every action of the seed, whatever state the fleets are in
heal     marks, quotas, foreign objects and broken specs go, machines come back, one operator runs
settle   until every fleet is what its spec says; then nothing may be written
end      the fleets are deleted, in half of the walks while no operator runs, and nothing may be left
judge    the rules over the whole history
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from heterofleet.api import labels
from heterofleet.cluster.cache import Cache, Listeners
from heterofleet.control import entry
from heterofleet.control.settings import Settings
from heterofleet.desired.platform import Platform
from randomwalk import generator, perform, rules, settled, specs, world
from randomwalk.actions import Action
from randomwalk.rules import Rule, Story, Violation
from randomwalk.world import World
from randomwalk.written import Written
from testbed import nodes

SETTLE_SECONDS = 300
REST_SECONDS = 3
END_SECONDS = 120
RETRY_SECONDS = 15
LOOK_SECONDS = 0.7


@dataclass
class Result:
    """What came of a walk."""

    seed: int
    steps: list[dict[str, Any]] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "violations": [{"rule": str(v.rule), "name": v.rule.name, "sentence": v.sentence} for v in self.violations],
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
            "seen": self.seen,
            "steps": self.steps,
        }


class Walk:
    """One seed's walk in its world."""

    def __init__(self, place: World, actions: Sequence[Action]) -> None:
        self._world = place
        self._actions = actions
        self._ending = generator.ending(place.seed)
        users = place.crew.users(place.namespace)
        self._written = Written(place.cluster.audit_log, place.namespace, users)
        self._platform = _platform(place.crew.slots[generator.SLOTS[0]].environment)
        self._retry_at = 0.0
        self.result = Result(place.seed)

    def run(self, *, heals: bool = True) -> Result:
        """From the first action to the judgement."""
        after = (("heal", self._heal), ("settle", self._settle), ("end", self._end)) if heals else ()
        for name, phase in (("act", self._act), *after):
            started = time.monotonic()
            phase()
            self.result.seconds[name] = time.monotonic() - started
        self._judge()
        return self.result

    def _act(self) -> None:
        for action in self._actions:
            told = perform.perform(action, self._world)
            self.result.steps.append({**action.to_json(), "told": told})
            time.sleep(action.pause)

    def _heal(self) -> None:
        """Take away whatever keeps a fleet from being well, and start one operator."""
        place = self._world
        for slot in generator.SLOTS[1:]:
            place.crew.thaw(slot)
            if self._ending.operates_alone:
                place.crew.kill(slot)
        for node in sorted(place.lost):
            place.persistently(world.recover, place, node)
        for node in sorted(place.cordoned):
            place.persistently(nodes.cordon, place.cluster.api, node, on=False)
        self._put_back_in_service()
        world.more_nodes(place)
        for quota in sorted(place.quotas):
            place.persistently(place.cluster.api.delete, place.path("resourcequotas", quota))
        for path in sorted(place.foreign):
            place.did("delete foreign", "", {path.rpartition("/")[2]})
            place.persistently(place.cluster.api.delete, path)
        for engine in place.centre.engines().values():
            engine.state.running = 0
        self._unmark()
        place.crew.start(generator.SLOTS[0])
        for fleet in place.fleets():
            self._mend(fleet)

    def _put_back_in_service(self) -> None:
        place = self._world
        for node in place.site.machines:
            path = f"/api/v1/nodes/{node}"
            stored = place.persistently(place.cluster.api.get, path)
            taints = stored["spec"].get("taints", ())
            kept = [taint for taint in taints if taint["key"] != labels.OUT_OF_SERVICE_TAINT]
            if len(kept) != len(taints):
                body = {"spec": {"taints": kept or None}}
                place.persistently(place.cluster.api.merge, path, body)

    def _mend(self, fleet: dict[str, Any]) -> None:
        """An acceptable, affordable spec, and another try for what was given up."""
        place, name = self._world, fleet["metadata"]["name"]
        place.did("edit", name, ())
        later = datetime.now(UTC).isoformat(timespec="microseconds")
        marks = {labels.RETRY: later}
        if self._ending.releases:
            marks[labels.RELEASE] = later
        body = {"metadata": {"annotations": marks}, "spec": specs.mended(fleet["spec"])}
        path = place.path(labels.FLEET_PLURAL, name)
        place.persistently(world.tolerating, lambda: place.cluster.api.merge(path, body))

    def _unmark(self) -> None:
        """Let every pod be well, those that came back with their marks' consequences too."""
        for pod in self._world.items("pods"):
            self._world.unmark(pod)

    def _retry(self, fleet: dict[str, Any]) -> None:
        """What failed by marks that were still there when the fleet was mended is tried again, as a person would."""
        instances = fleet.get("status", {}).get("large", {}).get("instances", ())
        given_up = any(instance["state"] == "Failed" for instance in instances)
        if given_up and time.monotonic() > self._retry_at:
            self._retry_at = time.monotonic() + RETRY_SECONDS
            self._mend(fleet)

    def _settle(self) -> None:
        """Wait for rest, and look that it is one."""
        wrong = self._wait(self._unsettled, SETTLE_SECONDS)
        self._blame(Rule.SETTLED, wrong)
        if wrong:
            return
        self._blame(Rule.REST, self._wait(self._restless, SETTLE_SECONDS))
        self._blame(Rule.SETTLED, self._unsettled())
        self._blame(Rule.ORPHANS, self._wait(lambda: settled.orphans(self._world), END_SECONDS))

    def _unsettled(self) -> list[str]:
        place = self._world
        place.crew.revive()
        self._unmark()
        fleets = place.fleets()
        for fleet in fleets:
            self._retry(fleet)
        moving = [text for fleet in fleets for text in settled.moving(fleet)]
        if moving:
            return moving
        seen = [settled.look(place, fleet) for fleet in fleets]
        return [f"{s.fleet.metadata.name}: {text}" for s in seen for text in settled.problems(s, self._platform)]

    def _restless(self) -> list[str]:
        """What was written in a while; some late write (an Event, say) may still come first."""
        before = len(self._written.all())
        time.sleep(REST_SECONDS)
        fresh = self._written.all()[before:]
        return [f"{w.verb} {w.resource} {w.name} by {w.slot}" for w in fresh if not w.of_lease]

    def _end(self) -> None:
        place = self._world
        if self._ending.deletes_unwatched:
            place.crew.stop()
        for fleet in place.fleets():
            name = fleet["metadata"]["name"]
            place.did("delete fleet", name, ())
            path = place.path(labels.FLEET_PLURAL, name)
            place.persistently(place.cluster.api.delete, path, propagationPolicy=self._ending.propagation)
        self._blame(Rule.ORPHANS, self._wait(self._left, END_SECONDS))
        place.crew.stop()

    def _left(self) -> list[str]:
        place = self._world
        found = {plural: place.items(plural) for plural in world.CHILD_KINDS}
        return [f"{plural} {item['metadata']['name']}" for plural, items in found.items() for item in items]

    def _judge(self) -> None:
        place = self._world
        history = place.history
        # The audit log and the watches are written a moment after the answer.
        time.sleep(0.5)
        writes = self._written.all()
        story = Story(history.ordered(), history.deeds, writes, frozenset(place.foreign.values()))
        self.result.violations += rules.judge(story)
        self._blame(Rule.FAULTS, place.crew.errors())
        if self.result.violations:
            self._keep(story)
        self.result.seen = {
            "events": len(story.events),
            "writes": len(writes),
            "operators that ended by themselves": sum(len(slot.ends) for slot in place.crew.slots.values()),
            **dict.fromkeys(_states(story), 1),
        }

    def _keep(self, story: Story) -> None:
        """The whole history as text, beside the operators' logs."""
        folder = self._world.crew.folder
        (folder / "events.txt").write_text("\n".join(event.summary() for event in story.events))
        (folder / "writes.txt").write_text("\n".join(map(str, story.writes)))
        (folder / "deeds.txt").write_text("\n".join(map(str, story.deeds)))

    def _blame(self, rule: Rule, sentences: Sequence[str]) -> None:
        self.result.violations += [Violation(rule, sentence) for sentence in sentences]

    @staticmethod
    def _wait(look: Callable[[], list[str]], seconds: float) -> list[str]:
        """The last list of what is wrong, [] as soon as nothing is."""
        deadline = time.monotonic() + seconds
        while (wrong := look()) and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        return wrong


def _states(story: Story) -> set[str]:
    """Every condition and every state of an instance that a fleet was ever in: how far the walk came about."""
    found: set[str] = set()
    for event in story.events:
        if event.kind != labels.FLEET_KIND:
            continue
        status = event.body.get("status", {})
        found |= {f"{c['type']}={c['status']} {c['reason']}" for c in status.get("conditions", ())}
        found |= {f"instance {i['state']}" for i in status.get("large", {}).get("instances", ())}
    return found


def _platform(environment: Any) -> Platform:
    """What the walk's operators render with, on a cluster without optional APIs."""

    def unheard(*_: object) -> None:
        """Nobody listens to a cache that stays empty."""

    return entry.platform(Settings.read(environment), Cache(Listeners(unheard, unheard, unheard, unheard)))
