"""Waiting for what another process or task does: asks again until it is so, under a deadline."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

TICK_SECONDS = 0.02

PATIENCE = 6
"""How many times longer than a quiet machine needs is waited: a deadline here only ends a test that
would wait for ever, and how fast something is belongs to the benchmarks."""


async def eventually(ask: Callable[[], Any], *, within: float = 10.0, what: str = "") -> Any:
    """Return the first truthy answer, or fail saying what was waited for and the last answer."""
    deadline = time.monotonic() + within * PATIENCE
    while True:
        answer = ask()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(
                f"not within {within * PATIENCE:g} s: {what or ask}; last answer: {answer!r}"
            )
        await asyncio.sleep(TICK_SECONDS)
