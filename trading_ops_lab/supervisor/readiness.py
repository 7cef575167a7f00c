"""Checks whether a process is ready. Running is not enough."""

import asyncio
import json

import aiohttp

from trading_ops_lab.supervisor.process import AskBanner, AskHttp

ANSWER_SECONDS = 2.0
FIRST_PAUSE_SECONDS = 0.03
LONGEST_PAUSE_SECONDS = 0.3


async def until_ready(question: AskHttp | AskBanner, session: aiohttp.ClientSession) -> None:
    """Retry with growing pauses until the check succeeds; never gives up."""
    pause = FIRST_PAUSE_SECONDS
    while not await is_ready(question, session):
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)


async def is_ready(question: AskHttp | AskBanner, session: aiohttp.ClientSession) -> bool:
    """Check once; no answer, a late one and a wrong one all mean "not ready"."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            if isinstance(question, AskBanner):
                return await _banner(question)
            return await _http(question, session)
    except (OSError, TimeoutError, aiohttp.ClientError, ValueError):
        return False


async def _http(question: AskHttp, session: aiohttp.ClientSession) -> bool:
    headers = {}
    if question.token_file:
        token = question.token_file.read_text(encoding="ascii").strip()
        headers["Authorization"] = f"Bearer {token}"
    if question.password_file:
        password = question.password_file.read_text(encoding="utf-8").strip()
        headers["Authorization"] = aiohttp.encode_basic_auth(question.user, password)
    async with session.get(question.url, headers=headers, allow_redirects=False) as answer:
        body = await answer.read()
        if answer.status != 200:  # noqa: PLR2004 - HTTP's OK
            return False
    if not question.not_yet:
        return True
    reply = json.loads(body)
    return isinstance(reply, dict) and all(
        reply.get(key) != value for key, value in question.not_yet.items()
    )


async def _banner(question: AskBanner) -> bool:
    host, _, port = question.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        line = await reader.readline()
        return line.decode("ascii", "replace").startswith(question.begins)
    finally:
        writer.close()
