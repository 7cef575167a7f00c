"""A bot in one event loop with everything: metrics, watchers, heartbeat, halts, a command."""

import asyncio
import random
import sys
import time
from decimal import Decimal
from pathlib import Path

from trading_ops.agent import Agent, Command, Health, Params, Side
from trading_ops.instrument import BotMetrics
from trading_ops.instrument.watchers import Progress, watchers_of

name, port, secrets, state = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
state.mkdir(parents=True, exist_ok=True)


async def main() -> None:
    metrics = BotMetrics(version="1.0", mode="paper", symbols=["BTC/USD"], components=["feed"])
    beat_at, position = time.time(), Decimal(0)

    async def cancel_orders(_: Params) -> str:
        metrics.open_orders(0)  # your venue
        return "all orders were cancelled"

    agent = Agent(
        name=name,
        address=("127.0.0.1", port),
        metrics=metrics,
        health=lambda: Health(heartbeat_at=beat_at),
        commands={"cancel_orders": Command(run=cancel_orders, safe_direction=True)},
        state_dir=state,
        metrics_token=(secrets / "metrics_token").read_text().strip(),
        agent_token=(secrets / "agent_token").read_text().strip(),
    )
    agent.start()
    passes = Progress(component="passes", limit_seconds=10, marker=lambda: beat_at)
    watchers_of(metrics, asyncio.get_running_loop(), progress=[passes]).start()

    price = 50_000.0
    while True:
        price *= random.gauss(1, 0.0001)  # your feed
        metrics.tick("BTC/USD", at=time.time(), price=price)
        metrics.component_up("feed", up=True)
        quantity = Decimal("0.01")  # your strategy
        if denial := agent.gate.check(side=Side.BUY, quantity=quantity, position=position):
            metrics.order_denied(denial.code)
        else:
            position += quantity  # your order, filled
            metrics.order_ended("filled")
            metrics.position("BTC/USD", float(position))
        beat_at = time.time()
        metrics.heartbeat(beat_at)  # last: it says that a whole pass was done
        await asyncio.sleep(0.5)


asyncio.run(main())
