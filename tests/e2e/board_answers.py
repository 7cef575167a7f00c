"""What the running stack's Prometheus answers to the boards' queries."""

import asyncio
import contextlib
from collections.abc import Sequence

from grafana.boards import proof
from grafana.boards.queries import BoardQuery
from tests.stack import Stack
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.domain.target import Kind

MINUTES = 60
"""How far back is looked: a board shows a range, and the session's drills are in it."""


async def unanswered(stack: Stack, queries: Sequence[BoardQuery]) -> list[str]:
    """Return the queries that find no figure, after as many scrapes as the slowest rules need."""
    url = f"http://{stack.registry.one(Kind.PROMETHEUS).address}"
    missing = list(queries)
    problems: list[str] = []

    async def shown() -> bool:
        end = clock.timestamp()
        answers = await asyncio.to_thread(
            proof.ask_all, url, tuple(missing), end=end, seconds=60 * MINUTES
        )
        empty = [answer for answer in answers if answer.missing or answer.skipped or answer.early]
        missing[:] = [answer.query for answer in empty]
        problems[:] = [str(answer) for answer in empty]
        return not missing

    with contextlib.suppress(AssertionError):
        await eventually(shown, within=20)
    return problems
