"""Waits until a started bot works: it has recovered, and it has heartbeats.

Readiness is not enough: a bot may answer while it runs no passes, or must not trade yet.
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


async def wait_until_healthy(
    question: AskHttp,
    session: aiohttp.ClientSession,
    *,
    life: Callable[[], str | None],
    within_seconds: float,
    abort_reason: Callable[[], str | None] = lambda: None,
) -> str | None:
    """Poll a bot until it is healthy; return None then, or what is missing at the timeout.

    Args:
        question: the health request.
        session: for the request.
        life: returns the expected incarnation, None while it is unknown.
        within_seconds: timeout.
        abort_reason: returns why waiting is pointless, or None.
    """
    deadline, first, lacks = clock.monotonic() + within_seconds, None, "it does not answer"
    while clock.monotonic() < deadline:
        if (why := abort_reason()) is not None:
            return why
        reply = await ask(question, session)
        lacks = missing(reply, life()) or ""
        beat = reply.get("heartbeat_at") if reply else None
        if not lacks and first is not None and beat != first:
            return None
        if not lacks:
            first, lacks = beat, "its heartbeat does not advance"
        await asyncio.sleep(PAUSE_SECONDS)
    return f"after {within_seconds:g} s {lacks}"


async def ask(question: AskHttp, session: aiohttp.ClientSession) -> dict[str, Any] | None:
    """Return a bot's health; None if it does not answer."""
    headers = {}
    try:
        if question.token_file:
            token = question.token_file.read_text(encoding="ascii").strip()
            headers["Authorization"] = f"Bearer {token}"
        async with asyncio.timeout(ANSWER_SECONDS):
            async with session.get(question.url, headers=headers, allow_redirects=False) as answer:
                reply = json.loads(await answer.read())
                return reply if answer.status == 200 and isinstance(reply, dict) else None  # noqa: PLR2004
    except (OSError, TimeoutError, aiohttp.ClientError, ValueError):
        return None


def missing(reply: dict[str, Any] | None, incarnation: str | None) -> str | None:
    """Return what is missing according to one answer, or None. A heartbeat needs two answers."""
    if reply is None:
        return "it does not answer"
    if reply.get("incarnation") != incarnation:
        return f"another process answers: {str(reply.get('incarnation'))[:40]}"
    if reply.get("status") == "failing":
        return "it reports that it is failing"
    if reply.get("recovered") is False:
        return "its startup reconciliation has not succeeded: see its records"
    if reply.get("heartbeat_at") is None:
        return "it has not completed a pass"
    return None
