"""The real WebSocket client of ccxt: it watches the market and an account, and trades."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.service.venue.harness import Files, until
from trading_ops_lab.paper.venue.venue import Venue

pytestmark = pytest.mark.processes


@pytest.fixture
async def pro(venue: Venue, files: Files) -> AsyncIterator[Any]:
    """ccxt's own WebSocket client with its urls pointed at the venue."""
    import ccxt.pro  # noqa: PLC0415  # a second and 100 MB, only where needed

    options = files.options()
    feed = f"ws://{files.rest}/v2"
    options["urls"]["api"]["ws"] = dict.fromkeys(
        ("public", "private", "publicV2", "privateV2"), feed
    )
    exchange = ccxt.pro.kraken(options)
    await exchange.load_markets()
    yield exchange
    await exchange.close()


async def test_it_watches_the_market(pro: Any) -> None:
    """Ticker, book and trades arrive as ccxt reads them; the book's checksum is verified by it."""
    ticker = await pro.watch_ticker("BTC/USD")
    assert 0 < ticker["bid"] < ticker["ask"]
    for _ in range(3):
        book = await pro.watch_order_book("ETH/USD", 10)
        assert len(book["bids"]) == len(book["asks"]) == 10
        assert book["bids"][0][0] < book["asks"][0][0]
    trades = await pro.watch_trades("SOL/USD")
    assert trades[0]["symbol"] == "SOL/USD"


async def test_it_trades_and_watches_its_own(pro: Any) -> None:
    """An order is placed, amended and cancelled over WebSocket; orders, fills, balance follow."""
    assert (await pro.watch_balance())["USD"]["total"] == 100_000
    placed = await pro.create_order_ws(
        "BTC/USD", "limit", "buy", 0.01, 10_000, {"clientOrderId": "over-ws"}
    )
    orders = await pro.watch_orders("BTC/USD")
    assert placed["id"] in {order["id"] for order in orders}
    await pro.edit_order_ws(placed["id"], "BTC/USD", "limit", "buy", 0.02, 10_001)
    (order,) = await pro.fetch_open_orders()
    assert (order["amount"], order["price"], order["clientOrderId"]) == (0.02, 10_001, "over-ws")
    await pro.cancel_order_ws(placed["id"])
    assert await pro.fetch_open_orders() == []
    # ccxt wakes only those who watch already when the news arrive.
    watching = asyncio.create_task(pro.watch_my_trades("BTC/USD"))
    for _ in range(100):
        await asyncio.sleep(0)
    bought = await pro.create_order_ws("BTC/USD", "market", "buy", 0.01)
    async with asyncio.timeout(120):
        trades = await watching
    assert {trade["order"] for trade in trades} == {bought["id"]}

    async def booked() -> bool:
        return bool(pro.balance["spot"]["BTC"]["total"] == pytest.approx(1.01))

    await until(booked)


async def test_a_refused_order_is_an_error_of_ccxt(pro: Any) -> None:
    """Its exceptions are those of the real exchange."""
    import ccxt  # noqa: PLC0415

    with pytest.raises(ccxt.InvalidOrder, match="EOrder:Unknown order"):
        await pro.cancel_order_ws("OAAAAA-AAAAA-AAAAAA")
    with pytest.raises(ccxt.ExchangeError, match="Insufficient funds"):
        await pro.create_order_ws("BTC/USD", "limit", "buy", 50, 50_000)
