"""Replaces the token of a bot's agent while both sides run."""

import asyncio
from datetime import timedelta

from trading_ops import clock
from trading_ops.clients.connection import session_of
from trading_ops.clients.http import Http, is_timeout
from trading_ops.clients.secrets import agent_token_file
from trading_ops.config.settings import Settings
from trading_ops.config.token_files import new_token, write_secret
from trading_ops.domain.target import Target
from trading_ops.errors import ClientError, Refused, SetupError

WITHIN = timedelta(seconds=30)
"""For the agent, which reads its file each second, to accept the new token."""

PAUSE_SECONDS = 0.1


async def rotate(settings: Settings, bot: Target, *, within: timedelta = WITHIN) -> bool:
    """Give a bot's agent a new token; return whether the agent has confirmed it.

    The agent gets the new token below the old one, and the old one goes once it accepts both. A
    crash in between leaves two tokens that work.

    Raises:
        SetupError: the file cannot be read or written.
    """
    file, token = agent_token_file(settings, bot), new_token()
    try:
        old = file.read()[:1]
    except FileNotFoundError:
        old = ()
    except (OSError, ValueError) as error:
        raise SetupError(f"{file.path} cannot be read ({error}): correct or remove it") from error
    try:
        write_secret(file.path, "\n".join([*old, token]))
        confirmed = await _accepts(settings, bot, token, within)
        write_secret(file.path, token)
    except OSError as error:
        raise SetupError(f"{file.path} cannot be written ({error.strerror})") from error
    return confirmed


async def _accepts(settings: Settings, bot: Target, token: str, within: timedelta) -> bool:
    """Ask until the agent accepts a token; what does not listen is not waited for."""
    deadline = clock.monotonic() + within.total_seconds()
    async with session_of(settings) as session:
        http = Http(session, bot.url, token=token)
        while clock.monotonic() < deadline:
            try:
                await http.get("/health")
            except ClientError as error:
                if not (isinstance(error, Refused) or is_timeout(error)):
                    return False
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                return True
    return False
