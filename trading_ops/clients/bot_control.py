"""What can be requested from a bot, through an agent or through Freqtrade."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Protocol

from trading_ops.clients.agent import BotHealth, CommandAnswer, EventsPage
from trading_ops.clients.executor import CommandResult


class BotControl(Protocol):
    """The part of `Agent` that other bots have as well."""

    async def health(self) -> BotHealth:
        """Return the bot's health and its holds, asked directly.

        Raises:
            ClientError: no usable answer.
        """
        ...

    async def events(self, after: int) -> EventsPage:
        """Return the bot's events after a number, oldest first; known ones may follow.

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
        """Have the bot carry out a command.

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
        """Have everything with a lower token refused from now on, where that matters.

        Raises:
            ClientError: an older effect may still arrive.
        """
        ...
