"""The command that clears the bot's queues of what nobody waits for any more."""

from typing import Protocol

from trading_ops.agent import Command, CommandFailed, Params
from trading_ops_lab.paper.bot.stage import Stage
from trading_ops_lab.paper.bot.supervisor import Supervisor


class Parts(Protocol):
    """What the command is for."""

    supervisor: Supervisor


def queue_commands(parts: Parts) -> dict[str, Command]:
    """Return the command by its name."""

    async def clear_queue(_params: Params) -> str:
        stages = [one for one in parts.supervisor.components.values() if isinstance(one, Stage)]
        dropped = {stage.name: stage.drop_abandoned() for stage in stages}
        left = sum(stage.waiting for stage in stages)
        if not any(dropped.values()):
            raise CommandFailed(f"nothing waits in vain: {left} requests wait, and are waited for")
        told = ", ".join(f"{count} of {name}" for name, count in dropped.items() if count)
        return f"requests that nobody waited for any more were dropped: {told}; {left} still wait"

    return {"clear_queue": Command(run=clear_queue)}
