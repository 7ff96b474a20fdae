"""`heterofleet top`: one line a fleet, what flows through it, and what is said where nothing is known."""

import argparse
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import RenderableType

from heterofleet.api.labels import FleetKey, Manifest, Tier
from heterofleet.cli import terminal, top, topflow, topsources, toptable
from heterofleet.cli.errors import UsageError
from heterofleet.cli.fleetview import FleetView
from heterofleet.cli.kubeconfig import Target
from heterofleet.cli.topflow import Flow, Look
from heterofleet.cli.topsources import Flows, Routers
from heterofleet.cli.toptable import Frame, Row
from heterofleet.metrics.samples import Loss, Lost, Sample
from heterofleet.router.metrics import Exposition, Metrics
from unit.cli import planned, stored
from unit.cli.stored import StoredApi

TARGET = Target(None, "here", "prod", "https://127.0.0.1:6443")
FLEETS = "/apis/heterofleet.io/v1alpha1/namespaces/prod/heterogeneousdeployments"
LEASES = "/apis/coordination.k8s.io/v1/leases"
PODS = "/api/v1/namespaces/prod/pods"
CHAT = FleetKey("prod", "chat")
WIDE = Frame(None, None, namespaces=False)
BUSY = Flow({Tier.LARGE: 3, Tier.SMALL: 9}, {Tier.LARGE: 40, Tier.SMALL: 212}, 51.25, 18_400.4, 0.034)


def exposition(offered: float, escalations: float = 0) -> str:
    """What a router shows, with series that are of no interest here."""
    return textwrap.dedent(
        f"""\
        # HELP heterofleet_router_offered_total Requests that came.
        # TYPE heterofleet_router_offered_total counter
        heterofleet_router_offered_total{{class="act",fleet="chat",namespace="prod"}} {offered}
        heterofleet_router_offered_total{{class="plan",fleet="chat",namespace="prod"}} 5.0
        heterofleet_router_escalations_total{{class="act",fleet="chat",namespace="prod",reason="bad"}} {escalations}
        heterofleet_router_prompt_tokens_total{{class="act",fleet="chat",namespace="prod",tier="small"}} {offered * 100}
        heterofleet_router_completion_tokens_total{{class="act",fleet="chat",namespace="prod",tier="small"}} 7
        heterofleet_router_queue_requests{{fleet="chat",namespace="prod",tier="small"}} 4.0
        heterofleet_router_queue_requests{{fleet="chat",namespace="prod",tier="embed"}} 9.0
        heterofleet_router_in_flight_requests{{endpoint="10.0.0.1:8000",fleet="chat",namespace="prod",tier="large"}} 2.0
        heterofleet_router_in_flight_requests{{endpoint="10.0.0.2:8000",fleet="chat",namespace="prod",tier="large"}} 1.0
        heterofleet_router_request_seconds_bucket{{class="act",le="+Inf",tier="small"}} 11.0
        process_cpu_seconds_total 3.0
        """
    )


def row(fleet: Manifest, flow: Flow = BUSY) -> Row:
    return Row(FleetView.of(fleet), flow)


def shown(*rows: Row, frame: Frame = WIDE, note: str = "") -> list[str]:
    return terminal.text(toptable.picture(rows, frame, note, stored.NOW)).splitlines()


def test_fleets_are_lines_below_their_sum() -> None:
    rows = toptable.ordered([row(stored.TROUBLED, Flow()), row(stored.READY), row(stored.FRESH, Flow())], "name")
    assert shown(*rows, note="A note.") == [
        "12:00:00 UTC  3 fleets, 2 not Ready  14/16 instances  12 queued  51.2 requests/s  18,400 tokens/s  237.60 $/h",
        "",
        "NAME     LARGE   SMALL   QUEUE   FLIGHT   REQ/S   TOKENS/S   ESCALATED      $/h   REASON",
        "chat     1/1     4/4        12      252    51.2     18,400        3.4%    79.20   AllReady",
        "fresh    0/0     0/0         -        -       -          -           -        -   NotSeenYet",
        "search   1/3     8/8         -        -       -          -           -   158.40   InstanceFailed",
        "",
        "A note.",
    ]


def test_one_fleet_shows_its_tiers() -> None:
    assert shown(row(planned.fleet()))[5:] == [
        "TIER    READY   DRAINING   GPUS   QUEUE   FLIGHT   PLANNED   DECIDED BY",
        "large   0/0            0      0       3       40         2   GpuBudget",
        "small   0/0            0      0       9      212        12   Forecast",
    ]


def test_escalation_is_as_the_plan_has_learned_it_where_none_was_measured() -> None:
    learned = planned.fleet(status={"learned": {"escalationRate": 0.07}})
    assert [row(learned, flow).escalation for flow in (Flow(), BUSY)] == [0.07, 0.034]


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("name", ["chat", "fresh", "search"]),
        ("money", ["search", "chat", "fresh"]),
        ("missing", ["search", "chat", "fresh"]),
        ("queue", ["search", "chat", "fresh"]),
        ("tokens", ["chat", "search", "fresh"]),
    ],
)
def test_the_largest_come_first_and_what_is_not_known_last(order: str, names: list[str]) -> None:
    some = Flow({Tier.SMALL: 90}, {}, None, 1.0)
    rows = [row(stored.READY), row(stored.TROUBLED, some), row(stored.FRESH, Flow())]
    assert [one.view.key.name for one in toptable.ordered(rows, order)] == names


def test_every_order_of_the_command_line_sorts() -> None:
    from heterofleet.cli import arguments  # noqa: PLC0415  one constant of it

    rows = [row(stored.READY), row(stored.FRESH, Flow())]
    assert {len(toptable.ordered(rows, order)) for order in arguments.TOP_ORDERS} == {2}


def test_a_low_screen_says_how_many_are_left_out_and_a_narrow_one_drops_columns() -> None:
    rows = [row(stored.fleet(f"fleet-{index}")) for index in range(9)]
    low = shown(*rows, frame=Frame(None, 10, namespaces=False))
    assert len(low) == 8
    assert low[-1] == "… and 5 more: --sort brings others to the top"
    narrow = shown(*rows, frame=Frame(60, None, namespaces=True))[2]
    assert narrow.split() == ["NAMESPACE", "NAME", "LARGE", "SMALL", "QUEUE", "REQ/S", "REASON"]


def test_a_routers_page_is_read_by_tier_and_class() -> None:
    assert topflow.look(exposition(20, 3), 100.0) == Look(
        100.0, {Tier.LARGE: 0, Tier.SMALL: 4}, {Tier.LARGE: 3, Tier.SMALL: 0}, 25, 20, 2007, 3
    )
    assert topflow.look("<html>no router</html>", 100.0) is None


def test_what_a_router_really_shows_is_read() -> None:
    counted = Metrics()
    counted.offered.add(3, "act")
    counted.escalations.add(1, "act", "bad")
    counted.prompt_tokens.add(40, "act", "small")
    queues = [("queue_requests", "Waiting.", ("tier",), {("small",): 2.0}), ("tasks", "Tasks.", (), {(): 9.0})]
    flights = ("in_flight_requests", "Under way.", ("tier", "endpoint"), {("large", "10.0.0.1:8000"): 5.0})
    page = Exposition(counted, "prod", "chat", lambda: [*queues, flights]).text().decode()
    assert topflow.look(page, 7.0) == Look(
        7.0, {Tier.LARGE: 0, Tier.SMALL: 2}, {Tier.LARGE: 5, Tier.SMALL: 0}, 3, 3, 40, 1
    )


def test_rates_are_between_two_looks_at_the_same_router() -> None:
    first, second = topflow.look(exposition(20, 3), 100.0), topflow.look(exposition(60, 5), 102.0)
    assert first is not None
    assert second is not None
    known = topflow.flow({"one": first}, {"one": second, "new": second})
    assert (known.requests_per_second, known.tokens_per_second, known.escalation_rate) == (20.0, 2000.0, 0.05)
    assert (known.queued, known.under_way) == (8, 6)
    restarted = topflow.flow({"one": second}, {"one": first._replace(at=104.0)})
    assert (restarted.requests_per_second, restarted.queued) == (None, 4)
    assert topflow.flow({"one": first}, {}) == Flow()


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0.1, 60)), min_size=1, max_size=5))
def test_a_rate_is_never_negative_and_adds_up_over_routers(routers: Sequence[tuple[float, float, float]]) -> None:
    zeros = dict.fromkeys(Tier, 0.0)
    before = {str(n): Look(0, zeros, zeros, start, 0, 0, 0) for n, (start, _, _) in enumerate(routers)}
    now = {
        str(n): Look(seconds, zeros, zeros, start + grown, 0, 0, 0) for n, (start, grown, seconds) in enumerate(routers)
    }
    rate = topflow.flow(before, now).requests_per_second
    assert rate is not None
    assert rate >= 0
    assert rate == pytest.approx(sum(grown / seconds for _, grown, seconds in routers), rel=1e-3, abs=1e-3)


def router(name: str, fleet: str = "chat", phase: str = "Running") -> Manifest:
    labels = {"heterofleet.io/fleet": fleet, "heterofleet.io/component": "router"}
    return {"metadata": {"namespace": "prod", "name": name, "labels": labels}, "status": {"phase": phase}}


def page(name: str) -> str:
    return f"{PODS}/{name}:9090/proxy/metrics"


async def test_each_fleets_routers_are_asked_twice_at_first_and_once_for_each_further_picture() -> None:
    pods = [router("a"), router("b"), router("gone", phase="Pending"), router("c", "other")]
    api = StoredApi({PODS: {"items": pods}})
    api.texts = {page("a"): [exposition(n) for n in (0, 10, 40)], page("b"): ["not found"]}
    times = iter(range(100))
    pauses: list[str] = []

    async def pause() -> None:
        pauses.append("a second")

    routers = Routers(api, "prod", lambda: next(times), pause)
    first, second = await routers.flows([CHAT]), await routers.flows([CHAT])
    assert pauses == ["a second"]
    assert [seen.of[CHAT].requests_per_second for seen in (first, second)] == [5, 15]
    assert second.of[CHAT].queued == 4
    assert set(api.asked) == {page("a"), page("b")}


async def test_fleets_without_routers_cost_no_pause_and_tell_nothing() -> None:
    async def pause() -> None:
        raise AssertionError("nobody answered, so that no rate can come of a second look")

    assert await Routers(StoredApi({PODS: {"items": []}}), "prod", lambda: 0.0, pause).flows([CHAT]) == Flows({})


async def test_who_may_not_ask_routers_is_told_the_right_that_it_takes() -> None:
    async def pause() -> None:
        """Never asked."""

    for forbidden in (PODS, page("a")):
        api = StoredApi({PODS: {"items": [router("a")]}}, forbidden=(forbidden,))
        api.refusal = 'User "u" cannot get resource "pods/proxy"'
        flows = await Routers(api, "prod", lambda: 0.0, pause).flows([CHAT])
        assert flows == Flows({}, 'The flow is not shown: User "u" cannot get resource "pods/proxy".')


async def test_routers_that_the_api_server_does_not_reach_are_said() -> None:
    async def pause() -> None:
        """Never asked."""

    api = StoredApi({PODS: {"items": [router("a"), router("b")]}}, forbidden=(page("b"),))
    flows = await Routers(api, "prod", lambda: 0.0, pause).flows([CHAT])
    assert flows == Flows(
        {},
        "No router answered the API server: a NetworkPolicy may keep it from their port 9090."
        " A Prometheus knows the flow, too: --prometheus URL.",
    )


async def test_the_routers_of_many_fleets_are_not_asked_one_by_one() -> None:
    async def pause() -> None:
        """Never asked."""

    keys = [FleetKey("prod", f"fleet-{index}") for index in range(topsources.MOST_ASKED + 1)]
    flows = await Routers(StoredApi({}), "prod", lambda: 0.0, pause).flows(keys)
    assert flows == Flows({}, "Of more than 40 fleets the flow is asked of Prometheus alone: --prometheus URL.")


class _Prometheus:
    """Answers by a word of the question."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self._answers = answers

    async def instant(self, expression: str) -> Any:
        return next((answer for word, answer in self._answers.items() if word in expression), ())

    async def over_time(self, expression: str, start: float, end: float, step_seconds: float) -> Any:
        raise AssertionError("nothing of the past is asked")


def sample(value: float, **labels: str) -> Sample:
    return Sample({"namespace": "prod", "fleet": "chat", **labels}, 0.0, value)


async def test_prometheus_tells_the_flow_of_all_fleets() -> None:
    source = topsources.FromPrometheus(
        _Prometheus(
            {
                "queue_requests": (sample(4, tier="small"), sample(9, tier="embed")),
                "in_flight": (sample(2, tier="large"),),
                "escalations": (sample(float("nan")),),
                "offered_total": (sample(12.5),),
                "completion_tokens": (sample(900), sample(7, fleet="other")),
            }
        )
    )
    flows = await source.flows([CHAT])
    assert flows == Flows({CHAT: Flow({Tier.SMALL: 4}, {Tier.LARGE: 2}, 12.5, 900, None)})


async def test_a_prometheus_that_knows_nothing_or_does_not_answer_is_said() -> None:
    empty = await topsources.FromPrometheus(_Prometheus({})).flows([CHAT])
    assert empty == Flows({}, "Prometheus knows none of these fleets: does it scrape routers?")
    lost = Lost(Loss.UNREACHABLE, "http://p:9090 cannot be asked: refused")
    flows = await topsources.FromPrometheus(_Prometheus({"sum": lost})).flows([CHAT])
    assert flows == Flows({}, "The flow is not shown: http://p:9090 cannot be asked: refused.")


async def test_what_is_no_address_of_a_prometheus_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="--prometheus localhost:9090: is no address of a Prometheus"):
        async with topsources.prometheus("localhost:9090"):
            pass


def options(fleet: str | None = None) -> argparse.Namespace:
    return argparse.Namespace(fleet=fleet, all_namespaces=False, sort="name", interval=2.0, once=False)


class _Still:
    """A source that knows nothing."""

    async def flows(self, keys: Sequence[FleetKey]) -> Flows:
        return Flows({})


async def test_pictures_go_on_through_an_outage_and_say_so() -> None:
    api = StoredApi({FLEETS: {"items": [stored.READY]}, LEASES: {"items": [stored.lease(stored.ago())]}})
    seen: list[RenderableType] = []

    async def pause(seconds: float) -> None:
        assert seconds == 2.0
        api.down = not api.down

    async for shown_ in top.pictures(api, TARGET, options(), _Still(), terminal.console(), pause):
        seen.append(shown_)
        if len(seen) == 3:
            break
    texts = [terminal.text(one) for one in seen]
    assert ["does not answer" in text for text in texts] == [False, True, False]
    assert all("chat" in text for text in texts)


async def test_no_fleets_are_said() -> None:
    api = StoredApi({FLEETS: {"items": []}, LEASES: {"items": []}})
    assert terminal.text(await top.picture(api, TARGET, options(), _Still(), WIDE, stored.NOW)) == (
        "No fleets in namespace prod.\n"
    )


def test_a_status_of_another_version_is_said_to_be_one() -> None:
    assert toptable.values(row(stored.fleet("chat", {"large": "many"}), Flow()))["reason"] == "OtherVersion"


def test_values_for_programs_are_null_where_nothing_is_known() -> None:
    assert toptable.values(row(stored.FRESH, Flow())) == {
        "namespace": "prod",
        "fleet": "fresh",
        "large": {"ready": 0, "desired": 0},
        "small": {"ready": 0, "desired": 0},
        "queue": None,
        "inFlight": None,
        "requestsPerSecond": None,
        "tokensPerSecond": None,
        "escalationRate": None,
        "usdPerHour": None,
        "ready": None,
        "reason": "NotSeenYet",
    }
