"""An aiohttp application with a bot in it: the agent answers on the application's own port."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from decimal import Decimal

import aiohttp
from aiohttp import web

from trading_ops.agent import Command, Params, Side, attach
from trading_ops.instrument import BotMetrics

name, port, secrets, state, venue = sys.argv[1:]
metrics = BotMetrics(version="1.0", mode="paper", symbols=["BTC/USD"], components=["feed"])


class Bot:
    def __init__(self) -> None:
        self.position = Decimal(0)
        self.trading: asyncio.Task[None] | None = None

    async def trade(self) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    await self.do_pass(session)
                except (aiohttp.ClientError, TimeoutError):
                    metrics.component_up("feed", up=False)
                await asyncio.sleep(0.5)

    async def do_pass(self, session: aiohttp.ClientSession) -> None:
        async with session.get(f"{venue}/0/public/Ticker?pair=XBTUSD") as answer:
            (ticker,) = (await answer.json())["result"].values()
        metrics.tick("BTC/USD", at=time.time(), price=float(ticker["c"][0]))
        metrics.component_up("feed", up=True)
        quantity = Decimal("0.01")
        if denial := agent.gate.check(side=Side.BUY, quantity=quantity, position=self.position):
            metrics.order_denied(denial.code)
        else:
            self.position += quantity  # your order, filled
            metrics.order_ended("filled")
            metrics.position("BTC/USD", float(self.position))
        metrics.heartbeat()  # last: marks a complete pass

    def start(self) -> None:
        self.trading = asyncio.create_task(self.trade())

    def stop(self) -> None:
        if self.trading:
            self.trading.cancel()

    async def restart(self, _: Params) -> str:
        self.stop()
        self.start()
        return "the feed was restarted"


bot = Bot()
restart = Command(run=bot.restart, required={"component": frozenset({"feed"})})


async def run(_: web.Application) -> AsyncIterator[None]:
    bot.start()
    yield
    bot.stop()


async def show_position(_: web.Request) -> web.Response:
    return web.json_response({"BTC/USD": str(bot.position)})


app = web.Application()
app.router.add_get("/position", show_position)
app.cleanup_ctx.append(run)
commands = {"restart_component": restart}
agent = attach(app, metrics, name, secrets=secrets, state=state, commands=commands)
web.run_app(app, host="127.0.0.1", port=int(port), print=None)
