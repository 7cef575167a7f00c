"""Our credentials for other processes; each file is read again when it changes.

`rotate_token` replaces the token of a bot's agent while both sides run.
"""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from trading_ops import clock
from trading_ops.clients.http import Http, is_timeout, session_of
from trading_ops.config.secret_files import TokenFile, agent_token_name, new_token, write_secret
from trading_ops.config.settings import Settings
from trading_ops.domain.target import Target
from trading_ops.errors import ClientError, ConfigError, Refused, SetupError
from trading_ops.redaction import known

NOTED = 64
"""Fleet size up to which token values are redacted from all log text."""


class Secrets(Protocol):
    """The tokens and passwords of the clients."""

    def agent_token(self, bot: Target) -> str:
        """Return the token of a bot's agent.

        Raises:
            ConfigError: there is none.
        """
        ...

    def supervisor_token(self) -> str:
        """Return the token of the supervisor.

        Raises:
            ConfigError: there is none.
        """
        ...

    def node_token(self) -> str:
        """Return the token of the node processes.

        Raises:
            ConfigError: there is none.
        """
        ...

    def freqtrade_credentials_file(self, name: str) -> Path | None:
        """Return the file with a Freqtrade's credentials; None: there is no file."""
        ...

    def freqtrade_credentials(self, name: str) -> str:
        """Return `user:password` of a Freqtrade.

        Raises:
            ConfigError: there is none.
        """
        ...


def agent_token_file(settings: Settings, bot: Target) -> TokenFile:
    """Return the file with the token of a bot's agent; a relative path is relative to `root`."""
    if bot.token_file is not None:
        return TokenFile.of_agent(settings.root / bot.token_file)
    return TokenFile.of_agent(settings.secrets / agent_token_name(bot.name))


class SecretFiles:
    """Secrets in the files named by the settings and the registry."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._agents: dict[str, TokenFile] = {}
        self._supervisor = TokenFile(settings.secrets / "supervisor_token")
        self._node = TokenFile(settings.secrets / "node_token")
        self.freqtrade_credentials = settings.freqtrade_credentials
        self.freqtrade_credentials_file = settings.freqtrade_credentials_file

    def agent_token(self, bot: Target) -> str:
        """Return the token of a bot's agent.

        Raises:
            ConfigError: its file cannot be read, or is empty.
        """
        if bot.name not in self._agents:
            self._agents[bot.name] = agent_token_file(self._settings, bot)
        # Each known value costs time for every log line; headers are redacted anyway.
        note = known if len(self._agents) <= NOTED else str
        fix = f"run `trading-ops up` once, or `trading-ops token rotate {bot.name}`"
        return note(_first(self._agents[bot.name], fix))

    def supervisor_token(self) -> str:
        """Return the token of the supervisor.

        Raises:
            ConfigError: its file cannot be read, or is empty.
        """
        return known(_first(self._supervisor, "run `trading-ops up` once"))

    def node_token(self) -> str:
        """Return the token of the node processes.

        Raises:
            ConfigError: its file cannot be read, or is empty.
        """
        fix = f"umask 077; openssl rand -hex 32 > {self._node.path}, the same on each host"
        return known(_first(self._node, fix))


def _first(file: TokenFile, fix: str) -> str:
    try:
        tokens = file.read()
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or "it is not ASCII text"
        raise ConfigError(str(file.path), "", problem, fix) from error
    if not tokens:
        raise ConfigError(str(file.path), "", "it is empty", fix)
    return tokens[0]


ROTATION_WITHIN = timedelta(seconds=30)
"""Timeout for the agent, which reads its file each second, to accept the new token."""

PAUSE_SECONDS = 0.1


async def rotate_token(
    settings: Settings, bot: Target, *, within: timedelta = ROTATION_WITHIN
) -> bool:
    """Give a bot's agent a new token; return whether the agent has confirmed it.

    The new token is added below the old one, which is removed once the agent accepts both. A crash
    in between leaves two valid tokens.

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
    """Poll until the agent accepts a token; stop at once if nothing listens."""
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
