"""Whether a bot that was just started does its work: it has recovered, and its heart beats.

Readiness is less: a bot may answer while it makes no pass, or while it must not trade yet.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp

from trading_ops import clock
from trading_ops_lab.supervisor.process import AskHttp
from trading_ops_lab.supervisor.readiness import ANSWER_SECONDS

PAUSE_SECONDS = 0.2


async def until_well(
    question: AskHttp,
    session: aiohttp.ClientSession,
    *,
    life: Callable[[], str | None],
    within_seconds: float,
    in_vain: Callable[[], str | None] = lambda: None,
) -> str | None:
    """Ask a bot until it is well; return None then, or what it lacks when the time is over.

    Args:
        question: for its health.
        session: to ask with.
        life: returns the incarnation that is meant, None while it is not known.
        within_seconds: how long to ask.
        in_vain: says why there is nothing more to wait for, or None.
    """
    deadline, first, lacks = clock.monotonic() + within_seconds, None, "it does not answer"
    while clock.monotonic() < deadline:
        if (why := in_vain()) is not None:
            return why
        said = await ask(question, session)
        lacks = missing(said, life()) or ""
        beat = said.get("heartbeat_at") if said else None
        if not lacks and first is not None and beat != first:
            return None
        if not lacks:
            first, lacks = beat, "its heartbeat does not advance"
        await asyncio.sleep(PAUSE_SECONDS)
    return f"after {within_seconds:g} s {lacks}"


async def ask(question: AskHttp, session: aiohttp.ClientSession) -> dict[str, Any] | None:
    """Return what a bot says of its health; None when it does not answer."""
    headers = {}
    try:
        if question.token_file:
            token = question.token_file.read_text(encoding="ascii").strip()
            headers["Authorization"] = f"Bearer {token}"
        async with asyncio.timeout(ANSWER_SECONDS):
            async with session.get(question.url, headers=headers, allow_redirects=False) as answer:
                said = json.loads(await answer.read())
                return said if answer.status == 200 and isinstance(said, dict) else None  # noqa: PLR2004
    except (OSError, TimeoutError, aiohttp.ClientError, ValueError):
        return None


def missing(said: dict[str, Any] | None, incarnation: str | None) -> str | None:
    """Say what a bot lacks at a glance; None: nothing. That its heart goes on needs two."""
    if said is None:
        return "it does not answer"
    if said.get("incarnation") != incarnation:
        return f"another process answers: {str(said.get('incarnation'))[:40]}"
    if said.get("status") == "failing":
        return "it calls itself failing"
    if said.get("recovered") is False:
        return "it has not recovered: what it found at the venue is in its records"
    if said.get("heartbeat_at") is None:
        return "it has made no whole pass"
    return None
