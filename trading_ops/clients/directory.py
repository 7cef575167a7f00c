"""Finds the client of a registered target; addresses come only from the registry.

`BotControl` is what every bot supports, through its agent or through Freqtrade.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

import aiohttp

from trading_ops.backoff import Backoff
from trading_ops.clients.agent import (
    HEALTH_PATH,
    AgentClient,
    BotHealth,
    CommandAnswer,
    CommandResult,
    EventsPage,
    read_health,
)
from trading_ops.clients.freqtrade import Freqtrade
from trading_ops.clients.http import Http
from trading_ops.clients.kept_connections import KeptConnections, NotPlain
from trading_ops.clients.node import ServiceUnit
from trading_ops.clients.secrets import Secrets
from trading_ops.domain.target import Kind, Manager, Registry, Target
from trading_ops.errors import ActionError, ConfigError, Refused
from trading_ops.listener import KnownListeners
from trading_ops.turns import Turns


class BotControl(Protocol):
    """The part of `AgentClient` that every kind of bot supports."""

    async def health(self) -> BotHealth:
        """Query the bot's health and its holds directly.

        Raises:
            ClientError: no usable answer.
        """
        ...

    async def events(self, after: int) -> EventsPage:
        """Return the bot's events after a number, oldest first; known ones may be included.

        Raises:
            ClientError: no answer.
        """
        ...

    async def command(
        self,
        name: str,
        params: Mapping[str, Any],
        *,
        attempt_id: str,
        fence: int,
        within: timedelta,
    ) -> CommandAnswer:
        """Send the bot a command.

        Raises:
            Unreachable: no answer: whether it was done is unknown.
            Refused: it was not done, and will not be.
        """
        ...

    async def attempt(self, attempt_id: str) -> CommandResult | None:
        """Return the outcome of an attempt; None: it never arrived.

        Raises:
            ClientError: no answer, so the outcome is unknown.
        """
        ...

    async def raise_fence(self, fence: int) -> None:
        """Make the bot reject lower fencing tokens from now on, where it has fences.

        Raises:
            ClientError: an older command may still arrive.
        """
        ...


WITHIN = timedelta(seconds=2)
"""A live agent answers in milliseconds; commands have their own deadline. Requests to a Freqtrade
do not reach the exchange and have the same timeout."""


class Directory:
    """Clients by target, over one session."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        registry: Registry,
        secrets: Secrets,
        on_freqtrade_request: Callable[[str], None] = lambda _name: None,
    ) -> None:
        """Use these secrets; each client reads them again, so a new secret is used immediately.

        `on_freqtrade_request` is called with the name of the Freqtrade for each request.
        """
        self._session = session
        self._registry = registry
        self._secrets = secrets
        self._on_freqtrade_request = on_freqtrade_request
        self._shared: dict[str, tuple[Backoff, Turns]] = {}
        self._kept: dict[str, KeptConnections] = {}

    async def health(self, target: Target) -> BotHealth:
        """Return a bot's health; connections to agents stay open until `close`.

        The caller sets the deadline.

        Raises:
            ActionError: the target is not a bot.
            ClientError: no usable answer.
        """
        connector = self._session.connector
        if target.kind is not Kind.BOT or not isinstance(connector, KnownListeners):
            return await self.bot(target).health()
        kept = self._kept.get(target.name)
        if kept is None:
            kept = self._kept[target.name] = KeptConnections(target.url, HEALTH_PATH, connector)
        try:
            return read_health(await kept.get(self._agent_token(target)))
        except NotPlain:
            return await self.bot(target).health()

    def close(self) -> None:
        """Close the connections to the agents."""
        for kept in self._kept.values():
            kept.close()

    def bot(self, target: Target) -> BotControl:
        """Return the control of a bot: the client of its agent or of its Freqtrade.

        Raises:
            ActionError: the target is not a bot.
            Refused: its token or password cannot be read.
        """
        address = target.url
        try:
            if target.kind is Kind.FREQTRADE:
                basic = self._secrets.freqtrade_credentials(target.name)
                count = partial(self._on_freqtrade_request, target.name)
                http = Http(self._session, address, basic=basic, within=WITHIN, on_request=count)
                file = self._secrets.freqtrade_credentials_file(target.name)
                backoff, turns = self._shared.setdefault(target.name, (Backoff(), Turns(file)))
                return Freqtrade(http, target.name, backoff, turns)
            if target.kind is Kind.BOT:
                token = self._agent_token(target)
                return AgentClient(Http(self._session, address, token=token, within=WITHIN))
        except ConfigError as error:
            raise Refused(str(error)) from error
        raise ActionError(f"{target.name} is a {target.kind}, not a bot")

    def _agent_token(self, target: Target) -> str:
        try:
            return self._secrets.agent_token(target)
        except ConfigError as error:
            raise Refused(str(error)) from error

    def unit(self, target: Target) -> ServiceUnit:
        """Return the target's process at its service manager.

        Raises:
            ActionError: it has no service manager in targets.yml.
            Refused: the supervisor's token cannot be read.
        """
        if target.service is None:
            raise ActionError(f"targets.yml names no service of {target.name}")
        try:
            if target.service.manager is Manager.SUPERVISOR:
                url = self._registry.one(Kind.SUPERVISOR).url
                token, unit = self._secrets.supervisor_token(), target.service.unit
            else:
                node = self._registry.find(target.service.node or "")
                if node is None:
                    raise ActionError(f"targets.yml has no node {target.service.node}")
                url, token, unit = node.url, self._secrets.node_token(), target.name
        except ConfigError as error:
            raise Refused(str(error)) from error
        return ServiceUnit(Http(self._session, url, token=token), unit)
