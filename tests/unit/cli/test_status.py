"""`heterofleet status` as it is seen: whole pictures of fixed width, and what is said of their age."""

import argparse
import io
import textwrap

from rich.console import Console

from heterofleet.api.labels import Manifest
from heterofleet.cli import status, terminal
from heterofleet.cli.kubeconfig import Target
from unit.cli import stored
from unit.cli.stored import StoredApi

TARGET = Target(None, "here", "prod", "https://127.0.0.1:6443")
LEASES = "/apis/coordination.k8s.io/v1/leases"
FLEETS = "/apis/heterofleet.io/v1alpha1/namespaces/prod/heterogeneousdeployments"
ALL = "/apis/heterofleet.io/v1alpha1/heterogeneousdeployments"
PODS = "/api/v1/namespaces/prod/pods"


def options(fleet: str | None = None, *, all_namespaces: bool = False) -> argparse.Namespace:
    return argparse.Namespace(fleet=fleet, all_namespaces=all_namespaces)


def api(*fleets: Manifest, **more: Manifest) -> StoredApi:
    objects = {FLEETS: {"items": list(fleets)}, ALL: {"items": list(fleets)}, PODS: {"items": list(stored.RANKS)}}
    objects |= {f"{FLEETS}/{fleet['metadata']['name']}": fleet for fleet in fleets}
    return StoredApi({**objects, LEASES: {"items": [stored.lease(stored.ago(seconds=2))]}, **more})


async def seen(cluster: StoredApi, asked: argparse.Namespace, width: int | None = None) -> str:
    """What is written to a pipe, or to a terminal of `width` columns without colours."""
    file = io.StringIO()
    terminal_screen = Console(file=file, width=width, force_terminal=True, no_color=True, highlight=False)
    screen = terminal.console(file) if width is None else terminal_screen
    terminal.show(screen, await status.picture(cluster, TARGET, asked, screen, stored.NOW))
    return file.getvalue()


async def test_fleets_are_a_table_with_the_word_that_says_why() -> None:
    assert await seen(api(stored.TROUBLED, stored.READY, stored.FRESH), options()) == textwrap.dedent(
        """\
        NAME     READY     LARGE   SMALL      $/h   ENDPOINT                           REASON           AGE
        chat     True      1/1     4/4      79.20   http://chat-router.prod.svc:8080   AllReady         3d
        fresh    Unknown   0/0     0/0          -   -                                  NotSeenYet       3d
        search   False     1/3     8/8     158.40   -                                  InstanceFailed   3d
        """
    )


async def test_all_namespaces_are_told_apart() -> None:
    lines = (await seen(api(stored.READY), options(all_namespaces=True))).splitlines()
    assert [line.split()[:2] for line in lines] == [["NAMESPACE", "NAME"], ["prod", "chat"]]


async def test_a_narrow_terminal_does_without_the_endpoint_and_then_the_price() -> None:
    headers = [(await seen(api(stored.READY), options(), width)).splitlines()[0] for width in (100, 65, 50)]
    plain = [strip(header).split() for header in headers]
    assert plain == [
        ["NAME", "READY", "LARGE", "SMALL", "$/h", "ENDPOINT", "REASON", "AGE"],
        ["NAME", "READY", "LARGE", "SMALL", "$/h", "REASON", "AGE"],
        ["NAME", "READY", "LARGE", "SMALL", "REASON", "AGE"],
    ]


def strip(text: str) -> str:
    """Bold is left on by NO_COLOR, which speaks of colours alone."""
    return text.replace("\x1b[1m", "").replace("\x1b[0m", "")


async def test_what_is_too_wide_even_so_is_left_to_the_terminal_to_wrap() -> None:
    narrow = strip(await seen(api(stored.READY), options(), 20)).splitlines()
    assert narrow[0].split() == ["NAME", "READY", "LARGE", "SMALL", "REASON", "AGE"]


async def test_a_ready_fleet_in_depth_has_no_more_than_its_facts() -> None:
    assert await seen(api(stored.READY), options("chat")) == textwrap.dedent(
        """\
        chat in prod  Ready for 2h
        1 large and 4 small instances answer.

        Endpoint   http://chat-router.prod.svc:8080
        Cost       79.20 $/h
        Ratio      4 small to 1 large

        TIER    READY   DRAINING   GPUS   REVISION   COUNT FROM
        large   1/1            0     32   3f2a1c0d   plan
        small   4/4            0      4   77aa0011   plan

        INSTANCE   STATE   RANKS   REVISION   RESTARTS   SINCE
        0          Ready   4/4     3f2a1c0d          1   2h
        """
    )


async def test_a_troubled_fleet_in_depth_says_what_blocks_it_and_where() -> None:
    assert await seen(api(stored.TROUBLED), options("search")) == textwrap.dedent(
        """\
        search in prod  not Ready for 4m: InstanceFailed
        Instance 1 restarts, instance 3 failed 5 times
        Suspended: nothing but its status is written until spec.suspend is false.
        The operator has not answered the last change of the spec yet.

        Cost   158.40 $/h

        TIER    READY   DRAINING   GPUS   REVISION   COUNT FROM
        large   1/3            0     64   3f2a1c0d   kubectl-scale
        small   8/8            0      8   77aa0011   others (External)

        The large tier was set to 3 by kubectl-scale. The plan takes it back at 12:43 UTC, in 43m; `heterofleet release search --tier large` ends it now.

        INSTANCE   STATE        RANKS   REVISION   RESTARTS   SINCE   NEXT TRY
        0          Ready        4/4     3f2a1c0d          0   -
        1          Restarting   1/2     3f2a1c0d          3   4m      in 40s
        3          Failed       0/2     9bb0a511          5   -

        Instance 1 last ended in search-large-1-1 with exit code 137 (OOMKilled) 4m ago.
          CUDA out of memory.
          Tried to allocate 2.00 GiB.

        RANK   POD                STATE              NODE     RESTARTS   AGE
        0      search-large-1-0   Ready              gpu-10          0   5h
        1      search-large-1-1   CrashLoopBackOff   gpu-11          3   5h

        CONDITION              REASON            FOR   MESSAGE
        LargeTierReady=False   GroupRestarting   4m    instance 1 restarts (3 of 5)
        Degraded=True          InstanceFailed    1h    as above
        PairMatched=False      FamiliesDiffer    3d    Qwen3 and GLM-4 differ

        Last drain: instance 2, 1h ago (roll): 7 requests in flight at the start; all were answered.

        Not shown, since this version does not know it: condition FromTheFuture.
        """  # noqa: E501  the lines of a picture are as long as they are
    )


async def test_a_fleet_that_no_operator_saw_says_so() -> None:
    assert await seen(api(stored.FRESH), options("fresh")) == "fresh in prod  not seen by the operator yet\n"


async def test_who_may_not_read_pods_sees_the_rest() -> None:
    cluster = api(stored.TROUBLED)
    cluster.forbidden = (PODS,)
    picture = await seen(cluster, options("search"))
    assert "RANK " not in picture
    assert "Instance 1 last ended" in picture


async def test_an_old_status_says_how_old_it_may_be() -> None:
    cluster = api(stored.READY, **{LEASES: {"items": [stored.lease(stored.ago(minutes=12))]}})
    last = (await seen(cluster, options())).splitlines()[-1]
    assert last == "The operator has not been seen for 12m: what is shown may be that old."


async def test_no_fleets_are_a_sentence() -> None:
    assert await seen(api(), options()) == "No fleets in namespace prod.\n"
    assert await seen(api(), options(all_namespaces=True)) == "No fleets in any namespace.\n"


async def test_watching_survives_a_server_that_does_not_answer() -> None:
    cluster = api(stored.READY)
    screen = terminal.console(io.StringIO())

    async def stop() -> None:
        cluster.down = True

    shown = status.pictures(cluster, TARGET, options(), screen, stop)
    first, second = terminal.text(await anext(shown)), terminal.text(await anext(shown))
    assert first.splitlines()[1].split()[:2] == ["chat", "True"]
    assert second.splitlines()[: len(first.splitlines())] == first.splitlines()
    assert second.splitlines()[-1].endswith("(context here) does not answer: the connection is refused.")
