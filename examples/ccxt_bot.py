"""A bot on ccxt with the agent; on the paper venue here, so that nothing leaves this machine."""

import asyncio
import sys
import time
from collections.abc import Awaitable
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt.async_support as ccxt

from trading_ops.agent import Command, Params, Side, embed
from trading_ops.instrument import BotMetrics

name, port, secrets, state, venue_address = sys.argv[1:]
SYMBOL, QUANTITY = "BTC/USD", Decimal("0.001")
CODES = (  # the first that fits; whatever is not here is the venue's clear no: refused
    (ccxt.RateLimitExceeded, "rate_limited"),
    (ccxt.InvalidNonce, "invalid_nonce"),
    (ccxt.AuthenticationError, "unauthorized"),
    (ccxt.RequestTimeout, "timeout"),
    (ccxt.ExchangeNotAvailable, "unavailable"),
    (ccxt.NetworkError, "unreachable"),
)
metrics = BotMetrics(
    version="1.0",
    mode="paper",
    symbols=[SYMBOL],
    currencies=["BTC", "USD"],
    endpoints=["ticker", "balance", "order", "cancel"],
    components=["broker"],
)


def secret(file: str) -> str:
    return (Path(secrets) / file).read_text().strip()


async def ask(endpoint: str, request: Awaitable[Any]) -> Any:
    """Make one request, and record how it ended and how long it took."""
    began, code = time.perf_counter(), "ok"
    try:
        return await request
    except ccxt.BaseError as error:
        code = next((code for kind, code in CODES if isinstance(error, kind)), "refused")
        raise
    finally:
        metrics.venue_request(endpoint, code=code, seconds=time.perf_counter() - began)


async def main() -> None:
    venue = ccxt.kraken({"apiKey": secret("venue_key_manual"), "timeout": 5000})
    venue.secret = secret("venue_secret_manual")
    # Without this line, it is the real Kraken.
    venue.urls["api"] = dict.fromkeys(("public", "private"), f"http://{venue_address}")
    position = Decimal(0)

    async def cancel_orders(_: Params) -> str:
        await ask("cancel", venue.cancel_all_orders())
        return "all orders were cancelled"

    commands = {"cancel_orders": Command(run=cancel_orders, safe_direction=True)}
    bot = embed(
        metrics,
        name,
        int(port),
        secrets=secrets,
        state=state,
        commands=commands,
        pass_limit_seconds=30,
    )

    async def trade() -> None:
        """Buy when there is nothing to sell, and sell it again."""
        nonlocal position
        side = Side.SELL if position else Side.BUY
        if denial := bot.gate.check(side=side, quantity=QUANTITY, position=position):
            metrics.order_denied(denial.code)
            return
        began = time.perf_counter()
        order = venue.create_order(SYMBOL, "market", str(side), float(QUANTITY))
        order_id = (await ask("order", order))["id"]
        metrics.order_acknowledged(time.perf_counter() - began, order_id=order_id)
        metrics.order_ended("filled", order_id=order_id)  # a market order of this size is
        position += QUANTITY if side is Side.BUY else -QUANTITY
        metrics.position(SYMBOL, float(position))

    while True:
        try:
            ticker = await ask("ticker", venue.fetch_ticker(SYMBOL))
            metrics.tick(SYMBOL, at=time.time(), price=ticker["last"])
            balance = await ask("balance", venue.fetch_balance())
            for currency in ("BTC", "USD"):
                metrics.balance(currency, balance[currency]["total"])
            await trade()
        except ccxt.BaseError as error:
            metrics.component_up("broker", up=False)
            print(f"this pass failed: {error}", file=sys.stderr)
        else:
            metrics.component_up("broker", up=True)
            metrics.heartbeat()  # only now: it says that a whole pass was done
        await asyncio.sleep(1)


asyncio.run(main())
