"""Finds the client of a registered target; addresses come from the registry and nowhere else."""

from collections.abc import Mapping
from datetime import timedelta

import aiohttp

from trading_ops.clients.agent import Agent
from trading_ops.clients.http import Http
from trading_ops.clients.supervisor import SupervisedUnit
from trading_ops.domain.target import Kind, Registry, Target
from trading_ops.errors import ActionError

AGENT_WITHIN = timedelta(seconds=2)
"""A live agent answers in milliseconds; commands bring a deadline of their own."""


class Directory:
    """Clients by target, over one session."""

    def __init__(
        self, session: aiohttp.ClientSession, registry: Registry, tokens: Mapping[str, str]
    ) -> None:
        """Take the tokens `agent` and `supervisor`."""
        self._session = session
        self._registry = registry
        self._tokens = tokens

    def bot(self, target: Target) -> Agent:
        """Return the agent of a bot.

        Raises:
            ActionError: the target is no bot.
        """
        if target.kind is not Kind.BOT:
            raise ActionError(f"{target.name} is a {target.kind}, not a bot")
        token = self._tokens["agent"]
        http = Http(self._session, f"http://{target.address}", token=token, within=AGENT_WITHIN)
        return Agent(http)

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
