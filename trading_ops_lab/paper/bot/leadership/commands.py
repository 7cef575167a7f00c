"""The command that hands the leadership over to a standby."""

from typing import Protocol

from trading_ops.agent import Command, CommandFailed, Params
from trading_ops.errors import StoreError
from trading_ops_lab.paper.bot.component import Unavailable
from trading_ops_lab.paper.bot.leadership.failover import Failover


class Parts(Protocol):
    """What the command is for."""

    failover: Failover | None


def leadership_commands(parts: Parts) -> dict[str, Command]:
    """Return the command by its name."""

    async def failover_bot(_params: Params) -> str:
        if parts.failover is None or parts.failover.leadership is None:
            raise CommandFailed("this bot has no standby instances: see docs/failover.md")
        try:
            standby = await parts.failover.leadership.step_down()
        except (StoreError, Unavailable) as error:
            raise CommandFailed(str(error)) from error
        return f"the leadership is given up in an ordered end; {standby} watches it"

    # Done again by a later leader it would take the leadership from that one.
    return {"failover_bot": Command(run=failover_bot, repeatable=False)}
