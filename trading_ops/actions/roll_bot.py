"""Restart a healthy bot gracefully, on an operator's request."""

from typing import ClassVar

from trading_ops.actions.base import Call
from trading_ops.actions.restart_bot import RestartBot


class RollBot(RestartBot):
    """Restarts the process even if the bot is healthy: for new settings or a new release.

    As in every restart, SIGTERM first gives the bot time to cancel its orders. At most once per
    attempt, and only of the incarnation that runs when it starts.
    """

    name: ClassVar[str] = "roll_bot"

    async def precondition(self, call: Call) -> str | None:  # noqa: ARG002 - an operator asked for it
        """No precondition: healthy bots are restarted too."""
        return None
