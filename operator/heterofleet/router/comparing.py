"""Whether the small tier answers as the large one would: a sampled share of its answers is compared.

In the background, after the answer was sent, and only in room of the large tier that nobody else wants; or before it is
sent, where policy says so: then the large tier's answer takes its place where the two differ, or a person decides.
"""

import random
from enum import StrEnum
from typing import NamedTuple

from heterofleet.api.labels import Tier
from heterofleet.router import answer, consistency, copies, policy, rulings
from heterofleet.router.answer import AnswerError
from heterofleet.router.call import Call, Ending, Given
from heterofleet.router.copies import Copied, Copies
from heterofleet.router.dispatch import Dispatcher, Place
from heterofleet.router.metrics import Metrics
from heterofleet.router.openai import Operation
from heterofleet.router.policy import Attempt, Outcome, Step


class Finding(StrEnum):
    """What a comparison came to; the value is the label of metrics. `dropped`: there was no room for it."""

    SAME = "same"
    DIFFERENT = "different"
    FAILED = "failed"
    DROPPED = "dropped"


class Comparisons(NamedTuple):
    """The comparisons of one router."""

    copies: Copies
    dispatcher: Dispatcher
    metrics: Metrics
    chance: random.Random

    def after(self, call: Call) -> None:
        """Compares the answer that was sent, if it is one of the share, without anybody waiting for it."""
        config = call.snapshot.policy.consistency
        given = call.given
        if config.blocking or given is None or call.ending is not Ending.OK or call.tier is not Tier.SMALL:
            return
        if self.chance.random() >= config.share or (text := _text(call, given)) is None:
            return
        place = self.dispatcher.spare(Tier.LARGE, copies.need(call)) if self.copies.has_room else None
        if place is None:
            self._count(Finding.DROPPED)
        else:
            self.copies.begin(self._compare(call, text, place))

    async def _compare(self, call: Call, text: str, place: Place) -> None:
        self._count(_finding(call, text, await self.copies.ask(call, place)))

    async def before(self, call: Call, done: policy.Done, seconds: float) -> policy.Done | policy.Review:
        """What is to be given in place of the small tier's answer; `seconds` are what the call has left."""
        attempt, given = call.attempts[done.attempt], call.answers[done.attempt]
        if attempt.tier is not Tier.SMALL or attempt.outcome is not Outcome.GOOD or given is None or call.traits.pinned:
            return done
        share = call.snapshot.policy.consistency.share
        if self.chance.random() >= share or (text := _text(call, given)) is None:
            return done
        place = self.dispatcher.take(Tier.LARGE, copies.need(call))
        if place is None:
            self._count(Finding.DROPPED)
            return done
        copied = await self.copies.ask(call, place, seconds)
        finding = _finding(call, text, copied)
        self._count(finding)
        return self._replaced(call, copied) if finding is Finding.DIFFERENT else done

    def _replaced(self, call: Call, copied: Copied) -> policy.Done | policy.Review:
        """Puts the large tier's answer beside the small one's; from here on it is an attempt, and has its price."""
        call.steps.append(Step.COMPARE)
        call.attempts.append(Attempt(Tier.LARGE, Outcome.GOOD, copied.endpoint))
        call.answers.append(copied.given)
        call.used(Tier.LARGE, copied.usage)
        number = len(call.attempts) - 1
        return policy.Review(number) if call.snapshot.policy.consistency.review else policy.Done(number)

    def _count(self, finding: Finding) -> None:
        self.metrics.comparisons.add(1, finding)


def _text(call: Call, given: Given) -> str | None:
    """The text of a whole answer; None where there is none to compare."""
    if call.operation is Operation.EMBEDDINGS or call.asked.stream or given.status != 200:
        return None
    try:
        said = answer.from_body(call.operation, given.body)
    except AnswerError:
        return None
    return None if said.tool_calls or said.choices > 1 else rulings.text(call, said.text)


def _finding(call: Call, text: str, copied: Copied) -> Finding:
    if not copied.good:
        return Finding.FAILED
    alike = consistency.similarity(text, rulings.text(call, copied.text))
    return Finding.SAME if alike >= call.snapshot.policy.consistency.threshold else Finding.DIFFERENT
