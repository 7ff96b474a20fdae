"""What must be gone when nobody asks any more: requests, connections, tasks and open files, here and at the engines."""

import asyncio
from dataclasses import dataclass
from typing import Final

from soak.sampling import Sample, Sampler
from soak.site import Site

REST_SECONDS: Final = 30.0
"""How long it may take; a probe or a look at an engine's load is under way now and then."""

MORE_DESCRIPTORS: Final = 4
"""Files that a router may have more than at its first rest: connections to engines that were opened since."""


@dataclass(frozen=True)
class Rest:
    """What a router has when nothing was ever asked of it."""

    tasks: int
    descriptors: int


async def first(sampler: Sampler, site: Site) -> Rest:
    """The most of some samples of routers that were asked nothing yet."""
    taken: list[Sample] = []
    for _ in range(8):
        taken += [sample for router in site.routers if (sample := await sampler.take(router)) is not None]
        await asyncio.sleep(0.4)
    return Rest(max(sample.tasks for sample in taken), max(sample.descriptors for sample in taken))


async def left_over(sampler: Sampler, site: Site, rest: Rest) -> list[str]:
    """What is still there when it should be gone, as sentences."""
    gives_up = site.now() + REST_SECONDS
    while True:
        found = [sentence for router in site.routers for sentence in _of(router.name, await sampler.take(router), rest)]
        held = {key: engine.held for key, engine in site.engines.items() if engine.held}
        if held:
            found.append(f"engines still have requests that nobody waits for: {held}")
        if not found or site.now() >= gives_up:
            return found
        await asyncio.sleep(0.3)


def _of(router: str, sample: Sample | None, rest: Rest) -> list[str]:
    if sample is None:
        return [f"router {router} does not answer"]
    found = [f"router {router} still holds something for a request: {sample}"] if sample.held else []
    if sample.tasks > rest.tasks:
        found.append(f"router {router} has {sample.tasks} tasks at rest, {rest.tasks} before it was asked anything")
    if sample.descriptors > rest.descriptors + MORE_DESCRIPTORS:
        found.append(f"router {router} has {sample.descriptors} open files, {rest.descriptors} at its first rest")
    return found
