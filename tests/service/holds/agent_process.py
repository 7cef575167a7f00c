"""A process of its own with an agent in it: `python -m … PORT FOLDER`; for signals."""

import asyncio
import sys
from pathlib import Path

from trading_ops.agent import Agent, Health
from trading_ops.instrument import BotMetrics


async def main() -> None:
    """Serve until killed."""
    agent = Agent(
        name="alpha",
        address=("127.0.0.1", int(sys.argv[1])),
        metrics=BotMetrics(version="1", mode="paper"),
        health=Health,
        commands={},
        state_dir=Path(sys.argv[2]),
        metrics_token="metrics",
        agent_token="agent",
    )
    agent.start()
    await asyncio.Event().wait()


asyncio.run(main())
