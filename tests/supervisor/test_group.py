"""The rules of a group, without sockets: who starts, who leaves, who stays."""

import dataclasses
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from heterofleet.supervisor import group
from heterofleet.supervisor.group import Code, Gathered, Limits, Phase, Report, Step, Verdict, View, Watched

LIMITS = Limits(fresh_seconds=3, lost_seconds=15)


def waiting(index: int, **changes: Any) -> Report:
    return dataclasses.replace(Report("g", index, f"e{index}", Phase.WAITING), **changes)


def serving(index: int, **changes: Any) -> Report:
    members = {0: "e0", 1: "e1", 2: "e2"}
    return dataclasses.replace(Report("g", index, f"e{index}", Phase.SERVING, members), **changes)


def views(*reports: Report, age: float = 0.5) -> dict[int, View]:
    return {report.index: View(report, age) for report in reports}


class TestGather:
    def test_a_rank_alone_starts_with_itself(self):
        assert group.gather(waiting(0), {}, LIMITS) == Gathered({0: "e0"})

    def test_a_leader_starts_with_all_who_wait(self):
        seen = views(waiting(1), waiting(2))
        assert group.gather(waiting(0), seen, LIMITS) == Gathered({0: "e0", 1: "e1", 2: "e2"})

    def test_a_leader_waits_for_who_was_never_heard(self):
        seen = {**views(waiting(1)), 2: View()}
        assert group.gather(waiting(0), seen, LIMITS) == Gathered(None, "rank 2 does not answer")

    def test_a_leader_starts_on_fresh_words_only(self):
        seen = views(waiting(1), age=3.5)
        assert group.gather(waiting(0), seen, LIMITS) == Gathered(None, "rank 1 does not answer")

    def test_a_leader_waits_for_a_download(self):
        seen = views(waiting(1, phase=Phase.DOWNLOADING))
        assert group.gather(waiting(0), seen, LIMITS) == Gathered(None, "rank 1 is downloading the model")

    def test_a_leader_takes_no_rank_of_a_former_group(self):
        seen = views(serving(1))
        expected = Gathered(None, "rank 1 has not left its former group yet (serving)")
        assert group.gather(waiting(0), seen, LIMITS) == expected

    def test_ranks_of_different_weights_do_not_start(self):
        seen = views(waiting(1, revision="b"))
        expected = Gathered(None, "rank 1 holds revision b of the model and this rank a: pin one")
        assert group.gather(waiting(0, revision="a"), seen, LIMITS) == expected

    def test_a_worker_starts_when_the_leader_has_named_its_epoch(self):
        leader = serving(0, phase=Phase.STARTING)
        assert group.gather(waiting(1), views(leader), LIMITS) == Gathered({0: "e0", 1: "e1", 2: "e2"})

    def test_a_worker_does_not_follow_a_leader_that_named_its_former_epoch(self):
        expected = Gathered(None, "rank 0 runs a former group; it will see this start and restart")
        assert group.gather(waiting(1, epoch="new"), views(serving(0)), LIMITS) == expected

    def test_a_worker_waits_for_the_leader_to_start(self):
        expected = Gathered(None, "rank 0 has not started yet (waiting-for-peers)")
        assert group.gather(waiting(1), views(waiting(0)), LIMITS) == expected


class TestWatch:
    def test_a_whole_group_stays(self):
        assert group.watch(serving(0), views(serving(1), serving(2)), LIMITS) == Watched(Verdict.STAY)
        assert group.watch(serving(1), views(serving(0)), LIMITS) == Watched(Verdict.STAY)

    def test_a_changed_epoch_ends_the_group(self):
        expected = Watched(Verdict.LEAVE, Code.RANK_RESTARTED, "rank 2 has restarted")
        assert group.watch(serving(0), views(serving(1), waiting(2, epoch="new")), LIMITS) == expected

    def test_a_worker_leaves_with_a_restarted_leader(self):
        expected = Watched(Verdict.LEAVE, Code.RANK_RESTARTED, "rank 0 has restarted")
        assert group.watch(serving(1), views(waiting(0, epoch="new")), LIMITS) == expected

    def test_a_rank_that_is_over_ends_the_group(self):
        expected = Watched(Verdict.LEAVE, Code.RANK_OVER, "rank 1 is over")
        assert group.watch(serving(0), views(serving(1, phase=Phase.STOPPED), serving(2)), LIMITS) == expected

    def test_a_worker_leaves_a_silent_leader(self):
        expected = Watched(Verdict.LEAVE, Code.LEADER_GONE, "the leader has been silent for 16 s")
        assert group.watch(serving(1), {0: View(serving(0), 17, 16)}, LIMITS) == expected

    def test_a_worker_that_stood_still_itself_stays(self):
        assert group.watch(serving(1), views(serving(0), age=100), LIMITS) == Watched(Verdict.STAY)

    def test_a_leader_stays_with_a_silent_worker_but_names_it_lost(self):
        seen = {1: View(serving(1), 16, 16), 2: View(serving(2), 1)}
        assert group.watch(serving(0), seen, LIMITS) == Watched(Verdict.STAY)
        assert group.lost(seen, LIMITS) == [1]

    def test_a_leader_drains_when_a_worker_is_told_to_stop(self):
        seen = views(serving(1), serving(2, phase=Phase.DRAINING))
        expected = Watched(Verdict.DRAIN, Code.RANK_OVER, "rank 2 was told to stop")
        assert group.watch(serving(0), seen, LIMITS) == expected

    def test_a_leader_that_never_served_leaves_at_once_instead(self):
        seen = views(serving(1, phase=Phase.DRAINING))
        expected = Watched(Verdict.LEAVE, Code.RANK_OVER, "rank 1 was told to stop")
        assert group.watch(serving(0, phase=Phase.STARTING), seen, LIMITS) == expected

    def test_a_worker_stays_with_a_draining_leader(self):
        assert group.watch(serving(1), views(serving(0, phase=Phase.DRAINING)), LIMITS) == Watched(Verdict.STAY)


class TestDrain:
    def test_a_leader_serves_on_until_routers_have_seen_it(self):
        assert [group.drain(0, since, 300) for since in (0, 1.9, 2, 319, 320)] == [
            Step.WAIT,
            Step.WAIT,
            Step.SIGNAL,
            Step.SIGNAL,
            Step.KILL,
        ]

    def test_a_worker_outlives_its_leader(self):
        assert [group.drain(1, since, 300) for since in (2, 320, 324, 325)] == [
            Step.WAIT,
            Step.WAIT,
            Step.WAIT,
            Step.KILL,
        ]

    @given(st.integers(0, 3), st.floats(0, 3600))
    def test_every_drain_ends_before_the_kubelet_kills(self, index, drain_seconds):
        assert group.drain(index, drain_seconds + 25, drain_seconds) is Step.KILL


class World:
    """A group in virtual time: each rank acts on words that may be old, in any order, and restarts when it leaves."""

    def __init__(self, size: int) -> None:
        self.reports = {index: Report("g", index, f"{index}.0", Phase.WAITING) for index in range(size)}
        self.heard = {(me, of): View() for me in self.reports for of in self.asked_by(me)}
        self.restarts = dict.fromkeys(self.reports, 0)

    def asked_by(self, me: int) -> list[int]:
        return [of for of in self.reports if of != me] if me == 0 else [0]

    def hear(self, me: int, of: int) -> None:
        if of in self.asked_by(me):
            self.heard[me, of] = View(self.reports[of], 0.0)

    def restart(self, index: int) -> None:
        self.restarts[index] += 1
        epoch = f"{index}.{self.restarts[index]}"
        self.reports[index] = Report("g", index, epoch, Phase.WAITING)
        for of in self.asked_by(index):
            self.heard[index, of] = View()

    def act(self, me: int) -> None:
        report, seen = self.reports[me], {of: self.heard[me, of] for of in self.asked_by(me)}
        if report.phase is Phase.WAITING:
            members = group.gather(report, seen, LIMITS).members
            if members is not None:
                self.reports[me] = dataclasses.replace(report, phase=Phase.SERVING, members=members)
        elif group.watch(report, seen, LIMITS).verdict is Verdict.LEAVE:
            self.restart(me)

    def settle(self) -> None:
        for _ in range(6):
            for me in self.reports:
                for of in self.asked_by(me):
                    self.hear(me, of)
                self.act(me)


EVENTS = st.lists(
    st.tuples(st.sampled_from(["hear", "act", "crash"]), st.integers(0, 3), st.integers(0, 3)), max_size=60
)


class TestConvergence:
    @given(EVENTS)
    def test_whatever_crashes_and_is_heard_late_the_ranks_end_in_one_group(self, events):
        world = World(4)
        for kind, me, of in events:
            if kind == "hear":
                world.hear(me, of)
            elif kind == "act":
                world.act(me)
            else:
                world.restart(me)
        world.settle()
        epochs = {index: report.epoch for index, report in world.reports.items()}
        assert [report.members for report in world.reports.values()] == [epochs] * 4
        assert {report.phase for report in world.reports.values()} == {Phase.SERVING}

    @given(st.integers(0, 3), st.permutations(range(4)))
    def test_one_crash_restarts_each_rank_once(self, victim, order):
        world = World(4)
        world.settle()
        world.restart(victim)
        for _ in range(12):
            for me in order:
                for of in world.asked_by(me):
                    world.hear(me, of)
                world.act(me)
        assert world.restarts == {0: 1, 1: 1, 2: 1, 3: 1}
        assert {report.phase for report in world.reports.values()} == {Phase.SERVING}


def test_a_report_survives_the_wire():
    for report in (waiting(1), serving(0, revision="abc")):
        assert Report.from_json(report.to_json()) == report
