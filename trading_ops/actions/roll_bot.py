"""Restart a bot that is well, for a person: its process drains, ends in order, and is replaced."""

from typing import ClassVar

from trading_ops.actions.base import Call
from trading_ops.actions.restart_bot import RestartBot


class RollBot(RestartBot):
    """Replaces the process whatever the bot says of itself: for new settings or a new release.

    SIGTERM and the time to cancel its orders come first, as in every restart by the supervisor. At
    most once for each attempt, and of exactly the life that runs when it begins.
    """

    name: ClassVar[str] = "roll_bot"

    async def precondition(self, call: Call) -> str | None:  # noqa: ARG002 - a person wants it
        """Let a healthy bot be restarted too."""
        return None
