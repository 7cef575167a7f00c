"""The same bot in threads: the agent's commands run in the main thread's loop, beside them."""

import asyncio
import random
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path

from trading_ops.agent import Agent, Command, Health, OrderGate, Params, Side
from trading_ops.instrument import BotMetrics
from trading_ops.instrument.watchers import Progress, watchers_of

name, port, secrets, state = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
state.mkdir(parents=True, exist_ok=True)


class Trader(threading.Thread):
    def __init__(self, metrics: BotMetrics) -> None:
        super().__init__(name="trader", daemon=True)
        self.metrics, self.beat_at = metrics, time.time()
        self.gate: OrderGate

    def run(self) -> None:
        price, position, quantity = 50_000.0, Decimal(0), Decimal("0.01")
        while True:
            price *= random.gauss(1, 0.0001)  # your feed
            self.metrics.tick("BTC/USD", at=time.time(), price=price)
            self.metrics.component_up("feed", up=True)
            if denial := self.gate.check(side=Side.BUY, quantity=quantity, position=position):
                self.metrics.order_denied(denial.code)
            else:
                position += quantity  # your order, filled
                self.metrics.order_ended("filled")
                self.metrics.position("BTC/USD", float(position))
            self.beat_at = time.time()
            self.metrics.heartbeat(self.beat_at)  # last: it says that a whole pass was done
            time.sleep(0.5)

    def cancel_orders(self) -> str:
        self.metrics.open_orders(0)  # your venue, which may block
        return "all orders were cancelled"


async def main() -> None:
    metrics = BotMetrics(version="1.0", mode="paper", symbols=["BTC/USD"], components=["feed"])
    trader = Trader(metrics)

    async def cancel_orders(_: Params) -> str:
        return await asyncio.to_thread(trader.cancel_orders)

    agent = Agent(
        name=name,
        address=("127.0.0.1", port),
        metrics=metrics,
        health=lambda: Health(heartbeat_at=trader.beat_at),
        commands={"cancel_orders": Command(run=cancel_orders, safe_direction=True)},
        state_dir=state,
        metrics_token=(secrets / "metrics_token").read_text().strip(),
        agent_token=(secrets / "agent_token").read_text().strip(),
    )
    agent.start()  # the holds of an earlier life are in force before the first order
    passes = Progress(component="passes", limit_seconds=10, marker=lambda: trader.beat_at)
    watchers_of(metrics, None, progress=[passes]).start()
    trader.gate = agent.gate
    trader.start()
    await asyncio.to_thread(trader.join)


asyncio.run(main())
