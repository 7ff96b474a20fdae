"""Waits for a condition of the cluster with a deadline, instead of sleeping for a guessed time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

_INTERVAL = 0.05


class DeadlineError(AssertionError):
    """The condition did not come true in time; the message holds what was last seen instead."""


def eventually(predicate: Callable[[], T | None], timeout: float = 30, message: str | Callable[[], str] = "") -> T:
    """Call ``predicate`` until it returns something true and return that.

    An AssertionError inside the predicate means 'not yet', so a predicate may compare whole values with assert;
    the last one, or the last value, is in the failure. ``message`` may be a function that describes the state.
    """
    deadline = time.monotonic() + timeout
    while True:
        value, seen = _attempt(predicate)
        if value:
            return value
        if time.monotonic() >= deadline:
            raise DeadlineError(_sentence(timeout, message, seen))
        time.sleep(_INTERVAL)


async def eventually_async(
    predicate: Callable[[], Awaitable[T | None]], within: float = 30, message: str | Callable[[], str] = ""
) -> T:
    """The same for a coroutine function, without blocking the event loop."""
    deadline = time.monotonic() + within
    while True:
        seen: object
        try:
            value = await predicate()
            seen = value
        except AssertionError as exc:
            value, seen = None, exc
        if value:
            return value
        if time.monotonic() >= deadline:
            raise DeadlineError(_sentence(within, message, seen))
        await asyncio.sleep(_INTERVAL)


def _attempt(predicate: Callable[[], T | None]) -> tuple[T | None, object]:
    try:
        value = predicate()
    except AssertionError as exc:
        return None, exc
    return value, value


def _sentence(timeout: float, message: str | Callable[[], str], seen: object) -> str:
    expected = message() if callable(message) else message
    return f"after {timeout:g} s: {expected or 'the condition did not come true'}; last seen: {seen}"
