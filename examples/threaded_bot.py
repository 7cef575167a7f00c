"""The same bot in threads: the agent's commands run in the main thread's loop, next to them."""

import asyncio
import random
import sys
import threading
import time
from decimal import Decimal

from trading_ops.agent import Command, OrderGate, Params, Side, embed
from trading_ops.instrument import BotMetrics

name, port, secrets, state = sys.argv[1:]
metrics = BotMetrics(version="1.0", mode="paper", symbols=["BTC/USD"], components=["feed"])


class Trader(threading.Thread):
    def __init__(self, gate: OrderGate) -> None:
        super().__init__(name="trader", daemon=True)
        self.gate = gate

    def run(self) -> None:
        price, position, quantity = 50_000.0, Decimal(0), Decimal("0.01")
        while True:
            price *= random.gauss(1, 0.0001)  # your feed
            metrics.tick("BTC/USD", at=time.time(), price=price)
            metrics.component_up("feed", up=True)
            if denial := self.gate.check(side=Side.BUY, quantity=quantity, position=position):
                metrics.order_denied(denial.code)
            else:
                position += quantity  # your order, filled
                metrics.order_ended("filled")
                metrics.position("BTC/USD", float(position))
            metrics.heartbeat()  # last: marks a complete pass
            time.sleep(0.5)


def cancel_orders() -> str:
    metrics.open_orders(0)  # your venue, which may block
    return "all orders were cancelled"


async def in_a_thread(_: Params) -> str:
    return await asyncio.to_thread(cancel_orders)


async def main() -> None:
    bot = embed(
        metrics,
        name,
        int(port),
        secrets=secrets,
        state=state,
        commands={"cancel_orders": Command(run=in_a_thread, safe_direction=True)},
        watch_loop=False,
    )
    trader = Trader(bot.gate)  # the holds of an earlier run are in force before the first order
    trader.start()
    await asyncio.to_thread(trader.join)


asyncio.run(main())
