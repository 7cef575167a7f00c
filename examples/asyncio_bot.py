"""A bot in one event loop with everything: metrics, watchers, heartbeat, halts, a command."""

import asyncio
import random
import sys
import time
from decimal import Decimal

from trading_ops.agent import Command, Params, Side, embed
from trading_ops.instrument import BotMetrics

name, port, secrets, state = sys.argv[1:]
metrics = BotMetrics(version="1.0", mode="paper", symbols=["BTC/USD"], components=["feed"])


async def cancel_orders(_: Params) -> str:
    metrics.open_orders(0)  # your venue
    return "all orders were cancelled"


async def main() -> None:
    commands = {"cancel_orders": Command(run=cancel_orders, safe_direction=True)}
    bot = embed(metrics, name, int(port), secrets=secrets, state=state, commands=commands)
    price, position, quantity = 50_000.0, Decimal(0), Decimal("0.01")
    while True:
        price *= random.gauss(1, 0.0001)  # your feed
        metrics.tick("BTC/USD", at=time.time(), price=price)
        metrics.component_up("feed", up=True)
        if denial := bot.gate.check(side=Side.BUY, quantity=quantity, position=position):
            metrics.order_denied(denial.code)
        else:
            position += quantity  # your order, filled
            metrics.order_ended("filled")
            metrics.position("BTC/USD", float(position))
        metrics.heartbeat()  # last: marks a complete pass
        await asyncio.sleep(0.5)


asyncio.run(main())
