"""Does what the plan says: to pods, ranks, nodes and engines in one lane, to what the fleet leans on in the other."""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from typing import Final

from heterofleet.api import labels
from heterofleet.api.labels import Component, Manifest, Tier
from heterofleet.simulate.faults import Fault as Meets
from heterofleet.simulate.faults import Faults
from soak.datacentre.faults import Fault, Kind, Plan
from soak.datacentre.site import PATIENCE_SECONDS, Away, Done, Site, persistently
from soak.history import Trouble
from testbed import nodes, stages
from testbed.api import ApiError
from testbed.eventually import DeadlineError
from testbed.operatorprocess import OperatorProcess

AFTERWARDS_SECONDS: Final = 5.0
"""For how long an engine's end may still show at its clients: the watch, and answers that wait for their stall."""

KEEP_SECONDS: Final = 0.5
SERVER: Final = "kube-apiserver"


async def perform(site: Site, plan: Plan) -> None:
    """Ends when everything that was done is over."""
    async with asyncio.TaskGroup() as group:
        for lane in (plan.machines, plan.services):
            group.create_task(_lane(site, lane))


async def keep(site: Site) -> None:
    """Starts an operator again that ended for want of its Lease, as the kubelet does; until it is cancelled."""
    while True:
        if site.operator_wanted and not site.operator.runs:
            since = site.now()
            await asyncio.to_thread(start, site.operator)
            site.away.append(Away(Kind.OPERATOR, since - KEEP_SECONDS, site.now()))
        await asyncio.sleep(KEEP_SECONDS)


def start(operator: OperatorProcess) -> None:
    """Until it is ready; one that takes too long on a loaded machine is ended and started again, as by its probe."""
    while True:
        try:
            operator.start()
        except DeadlineError:
            operator.kill()
        else:
            return


async def _lane(site: Site, faults: Sequence[Fault]) -> None:
    for fault in faults:
        await asyncio.sleep(max(0.0, site.begins + fault.at - site.now()))
        at = site.now()
        target = await _ACTS[fault.kind](site, fault)
        site.done.append(Done(at, fault.kind, target, site.now()))


async def _kill_pod(site: Site, fault: Fault) -> str:
    pod = await _chosen(site, fault, component=Component.ENGINE.value)
    await _die(site, [pod], fault.seconds)
    site.deed("delete", pod["metadata"]["name"])
    await asyncio.to_thread(_delete, site, pod)
    return _name(pod)


async def _kill_rank(site: Site, fault: Fault) -> str:
    """All ranks of its group start again in place, as their supervisors see to it."""
    rank = await _chosen(site, fault, tier=Tier.LARGE.value)
    instance = rank["metadata"]["labels"][labels.INSTANCE]
    group = await asyncio.to_thread(site.pods, tier=Tier.LARGE.value, instance=instance)
    await _die(site, group, fault.seconds)
    marks = {stages.CRASH: "137", stages.RESTART_DELAY: "500ms"}
    for pod in group:
        await asyncio.to_thread(_patch, site, pod, {"metadata": {"annotations": marks}})
    await asyncio.sleep(fault.seconds)
    return _name(rank)


async def _lose_node(site: Site, fault: Fault) -> str:
    pod = await _chosen(site, fault, component=Component.ENGINE.value)
    node: str = pod["spec"]["nodeName"]
    site.deed("machine", node)
    held = [pod for pod in await asyncio.to_thread(site.pods) if pod["spec"].get("nodeName") == node]
    await _die(site, held, fault.seconds)
    await asyncio.to_thread(lambda: persistently(lambda: nodes.lose(site.cluster.api, node)))
    await asyncio.sleep(fault.seconds)
    await asyncio.to_thread(lambda: persistently(lambda: nodes.recover(site.cluster.api, node)))
    # Pods that were deleted meanwhile go now, and what they were answering with them.
    await _die(site, held, 0.0)
    return node


async def _slow(site: Site, fault: Fault) -> str:
    return await _suffer(site, fault, Trouble.SLOW, Faults(slow=fault.size))


async def _garbage(site: Site, fault: Fault) -> str:
    seed = int(fault.at * 1000)
    return await _suffer(site, fault, Trouble.GARBAGE, Faults(shares={Meets.GARBAGE: fault.size}, seed=seed))


async def _suffer(site: Site, fault: Fault, trouble: Trouble, faults: Faults) -> str:
    engines = [pod for pod in await asyncio.to_thread(site.pods, component=Component.ENGINE.value) if _leads(pod)]
    pod = engines[int(fault.pick * len(engines))]
    episode = site.history.begin(_key(pod), trouble, site.now())
    await asyncio.to_thread(_set, site, pod, faults)
    await asyncio.sleep(fault.seconds)
    await asyncio.to_thread(_set, site, pod, Faults())
    episode.until = site.now() + AFTERWARDS_SECONDS
    return _name(pod)


async def _kill_router(site: Site, fault: Fault) -> str:
    """The process dies as for want of memory, and its pod with it; another pod takes its place."""
    pod = await _chosen(site, fault, component=Component.ROUTER.value)
    process = await asyncio.to_thread(site.centre.router_process, _name(pod))
    site.lives[_name(pod)].killed_at = site.now()
    os.kill(process, signal.SIGKILL)
    site.deed("delete", _name(pod))
    await asyncio.to_thread(_delete, site, pod)
    await asyncio.sleep(fault.seconds)
    return _name(pod)


async def _kill_operator(site: Site, fault: Fault) -> str:
    since, site.operator_wanted = site.now(), False
    await asyncio.to_thread(site.operator.kill)
    await asyncio.sleep(fault.seconds)
    await asyncio.to_thread(start, site.operator)
    site.operator_wanted = True
    site.away.append(Away(Kind.OPERATOR, since, site.now()))
    return "operator"


async def _stop_server(site: Site, fault: Fault) -> str:
    since = site.now()
    site.keeper.down.add(SERVER)
    await asyncio.to_thread(site.cluster.components.stop, SERVER)
    await asyncio.sleep(fault.seconds)
    site.cluster.components.start(SERVER)
    site.keeper.down.discard(SERVER)
    await asyncio.to_thread(site.cluster.wait_until_ready, PATIENCE_SECONDS)
    site.away.append(Away(Kind.SERVER, since, site.now()))
    return SERVER


async def _stop_prometheus(site: Site, fault: Fault) -> str:
    await asyncio.to_thread(site.prometheus.stop, signal.SIGKILL)
    await asyncio.sleep(fault.seconds)
    await asyncio.to_thread(site.prometheus.start)
    return "prometheus"


_ACTS: Final = {
    Kind.POD: _kill_pod,
    Kind.RANK: _kill_rank,
    Kind.NODE: _lose_node,
    Kind.SLOW: _slow,
    Kind.GARBAGE: _garbage,
    Kind.ROUTER: _kill_router,
    Kind.OPERATOR: _kill_operator,
    Kind.SERVER: _stop_server,
    Kind.PROMETHEUS: _stop_prometheus,
}


async def _chosen(site: Site, fault: Fault, **labels_: str) -> Manifest:
    """The pod at the fault's place among those that run; waits until there is one."""
    while True:
        pods = await asyncio.to_thread(lambda: site.pods(**labels_))
        running = [pod for pod in pods if pod.get("status", {}).get("phase") == "Running"]
        if running:
            return running[int(fault.pick * len(running))]
        await asyncio.sleep(0.2)


async def _die(site: Site, pods: Sequence[Manifest], seconds: float) -> None:
    """The engines of these pods refuse connections for a while; what they were answering may be cut off."""
    for pod in pods:
        if not _leads(pod):
            continue
        episode = site.history.begin(_key(pod), Trouble.KILLED, site.now())
        episode.until = site.now() + seconds + AFTERWARDS_SECONDS
        if seconds:
            await asyncio.to_thread(_set, site, pod, Faults(refuse_seconds=seconds))


def _leads(pod: Manifest) -> bool:
    found = pod["metadata"]["labels"]
    return labels.TIER in found and found.get(labels.POD_INDEX, "0") == "0" and bool(pod["status"].get("podIP"))


def _key(pod: Manifest) -> str:
    return f"{pod['status']['podIP']}:{labels.ENGINE_PORT}"


def _name(pod: Manifest) -> str:
    name: str = pod["metadata"]["name"]
    return name


def _set(site: Site, pod: Manifest, faults: Faults) -> None:
    """Engines go by themselves meanwhile: one that is gone has no faults."""
    if _name(pod) in site.centre.simulated():
        try:
            site.centre.set_faults(_name(pod), faults)
        except DeadlineError:
            return


def _path(pod: Manifest) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{_name(pod)}"


def _delete(site: Site, pod: Manifest) -> None:
    _if_there(lambda: site.cluster.api.delete(_path(pod), gracePeriodSeconds="0"))


def _patch(site: Site, pod: Manifest, body: Manifest) -> None:
    _if_there(lambda: site.cluster.api.merge(_path(pod), body))


def _if_there(call: Callable[[], object]) -> None:
    try:
        persistently(call)
    except ApiError as exc:
        if exc.status not in (404, 409):
            raise
