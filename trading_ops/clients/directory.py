"""Finds the client of a registered target; addresses come from the registry and nowhere else."""

from collections.abc import Callable, Mapping
from datetime import timedelta

import aiohttp

from trading_ops.backoff import Backoff
from trading_ops.clients.agent import Agent
from trading_ops.clients.bot_control import BotControl
from trading_ops.clients.freqtrade import Freqtrade
from trading_ops.clients.http import Http
from trading_ops.clients.supervisor import SupervisedUnit
from trading_ops.domain.target import Kind, Registry, Target
from trading_ops.errors import ActionError, ConfigError, Refused

WITHIN = timedelta(seconds=2)
"""A live agent answers in milliseconds; commands bring a deadline of their own. What is asked of a
Freqtrade needs no exchange, and has the same."""


def no_credentials(name: str) -> str:
    """Know no Freqtrade's user and password.

    Raises:
        ConfigError: always.
    """
    raise ConfigError(f"freqtrade_{name}", "", "it was not asked for here", "give them")


class Directory:
    """Clients by target, over one session."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        registry: Registry,
        tokens: Mapping[str, str],
        freqtrade: Callable[[str], str] = no_credentials,
    ) -> None:
        """Take the tokens `agent` and `supervisor`, and what knows a Freqtrade's `user:password`.

        That is asked each time, so that a changed password is obeyed at once.
        """
        self._session = session
        self._registry = registry
        self._tokens = tokens
        self._freqtrade = freqtrade
        self._backoffs: dict[str, Backoff] = {}

    def bot(self, target: Target) -> BotControl:
        """Return what commands a bot: its agent, or the client of its Freqtrade.

        Raises:
            ActionError: the target is no bot.
            Refused: the credentials of a Freqtrade cannot be read.
        """
        if target.kind is Kind.FREQTRADE:
            return self._freqtrade_of(target)
        if target.kind is not Kind.BOT:
            raise ActionError(f"{target.name} is a {target.kind}, not a bot")
        token = self._tokens["agent"]
        http = Http(self._session, f"http://{target.address}", token=token, within=WITHIN)
        return Agent(http)

    def _freqtrade_of(self, target: Target) -> Freqtrade:
        try:
            basic = self._freqtrade(target.name)
        except ConfigError as error:
            raise Refused(str(error)) from error
        address = f"http://{target.address}"
        http = Http(self._session, address, basic=basic, within=WITHIN)
        backoff = self._backoffs.setdefault(target.name, Backoff())
        return Freqtrade(http, target.name, backoff)

    def unit(self, target: Target) -> SupervisedUnit:
        """Return the target's process at its service manager.

        Raises:
            ActionError: the registry names no service manager for it.
        """
        if target.service is None:
            raise ActionError(f"targets.yml names no service of {target.name}")
        address = self._registry.one(Kind.SUPERVISOR).address
        http = Http(self._session, f"http://{address}", token=self._tokens["supervisor"])
        return SupervisedUnit(http, target.service.unit)
