"""How far instances that start have come, as their supervisors say: the download of a model takes many minutes.

Asked for after everything was written, so that a silent process delays nothing but the words in status; each pod at
most every ASK_SECONDS, and shares are rounded, so that status is not written for every megabyte.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from heterofleet.api import labels
from heterofleet.api.labels import FleetKey
from heterofleet.cluster.records import PodRecord
from heterofleet.metrics.scrape import Engines, SupervisorAnswer

ASK_SECONDS = 10.0
MOST_ASKED = 16
"""Pods of one fleet that are asked at a time; the others are as far as these."""
STEP_PERCENT = 5


_Said = tuple[datetime, str]


class Progress:
    """Remembers what was said last, by fleet and pod UID; only of pods that start."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._known: dict[FleetKey, dict[str, _Said]] = {}

    async def of(self, key: FleetKey, pods: Sequence[PodRecord], now: datetime) -> Mapping[str, str]:
        """Words for each pod (by UID) that runs and is not ready; none for those that say nothing."""
        starting = [pod for pod in pods if pod.ip and not (pod.ready or pod.terminating or pod.finished)]
        if not starting:
            self.forget(key)
            return {}
        before = self._known.get(key, {})
        known = {pod.uid: before[pod.uid] for pod in starting if pod.uid in before}
        due = [pod for pod in starting if pod.uid not in known or _is_due(known[pod.uid], now)][:MOST_ASKED]
        answers = await asyncio.gather(*(self._engines.supervisor(pod.ip) for pod in due))
        known |= {pod.uid: (now, words(answer)) for pod, answer in zip(due, answers, strict=True)}
        self._known[key] = known
        return {uid: said for uid, (_, said) in known.items() if said}

    def wake_at(self, key: FleetKey, now: datetime) -> datetime | None:
        """When to ask again, while something starts."""
        return now + timedelta(seconds=ASK_SECONDS) if key in self._known else None

    def forget(self, key: FleetKey) -> None:
        self._known.pop(key, None)


def _is_due(said: _Said, now: datetime) -> bool:
    return now >= said[0] + timedelta(seconds=ASK_SECONDS)


def words(answer: SupervisorAnswer | None) -> str:
    """What a supervisor's answer comes to for a person."""
    if answer is None:
        return ""
    download = answer.download
    if answer.phase == "downloading" and download is not None:
        if download.state == "waiting":
            return "waits for another pod's download of the same model"
        if download.total > 0:
            share = STEP_PERCENT * int(100 * download.bytes / download.total / STEP_PERCENT)
            return f"downloads its model, {share} % of {download.total / 2**30:.0f} GiB"
        return "downloads its model"
    return answer.sentence if answer.phase in ("downloading", "waiting-for-peers") else ""


def of_instance(pods: Sequence[PodRecord], said: Mapping[str, str]) -> str:
    """One sentence for a group: that of its lowest rank that has something to say."""
    ranks = sorted((int(pod.labels.get(labels.POD_INDEX, "0")), said[pod.uid]) for pod in pods if pod.uid in said)
    return f"rank {ranks[0][0]} {ranks[0][1]}" if ranks else ""
