"""The real ccxt client, with only its urls pointed at the venue, trades on it."""

import contextlib
from decimal import Decimal
from typing import Any

import pytest

from tests.service.venue.harness import FaultCaller, Files, until
from trading_ops import clock
from trading_ops_lab.paper.venue.venue import Venue

pytestmark = pytest.mark.processes


def number(value: Any) -> Decimal:
    return Decimal(str(value))


def test_the_synchronous_client_trades_on_the_real_process(kraken: Any) -> None:
    """Ten lines of ccxt load the markets, buy, look, cancel and leave."""
    assert set(kraken.load_markets()) == {"BTC/USD", "ETH/USD", "SOL/USD", "ETH/BTC"}
    assert kraken.market("BTC/USD")["id"] == "XXBTZUSD"
    bought = kraken.create_order("BTC/USD", "market", "buy", 0.01)
    resting = kraken.create_order("ETH/USD", "limit", "buy", 0.5, 1000, {"userref": 12})
    assert kraken.fetch_order(bought["id"])["status"] == "closed"
    assert [order["id"] for order in kraken.fetch_open_orders()] == [resting["id"]]
    assert kraken.fetch_balance()["BTC"]["total"] == pytest.approx(1.01)
    kraken.cancel_order(resting["id"])
    assert kraken.fetch_open_orders() == []
    assert {order["status"] for order in kraken.fetch_closed_orders()} == {"closed", "canceled"}


async def test_the_market_can_be_read(client: Any) -> None:
    """Tickers, book, candles, trades, clock and status have the shapes that ccxt expects."""
    tickers = await client.fetch_tickers()
    assert set(tickers) == {"BTC/USD", "ETH/USD", "SOL/USD", "ETH/BTC"}
    ticker = await client.fetch_ticker("BTC/USD")
    assert 0 < ticker["bid"] < ticker["ask"]
    assert ticker["low"] <= ticker["last"] <= ticker["high"]
    book = await client.fetch_order_book("ETH/BTC", 5)
    assert len(book["bids"]) == len(book["asks"]) == 5
    assert book["bids"][0][0] < book["asks"][0][0]
    candles = await client.fetch_ohlcv("BTC/USD", "1m", limit=20)
    assert len(candles) == 20
    assert all(low <= min(o, c) <= max(o, c) <= high for _, o, high, low, c, _ in candles)
    assert len(await client.fetch_ohlcv("SOL/USD", "1h")) in (24, 25)
    assert (await client.fetch_status())["status"] == "ok"
    assert abs(await client.fetch_time() / 1000 - clock.timestamp()) < 5
    assert (await client.fetch_trading_fee("BTC/USD"))["taker"] == 0.0026
    assert set(await client.fetch_currencies()) == {"BTC", "ETH", "SOL", "USD"}


async def test_public_trades_are_seen(client: Any, venue: Venue) -> None:
    """A trade of ours is public, with its side and kind."""
    await client.create_order("SOL/USD", "market", "sell", 1)
    trades = await client.fetch_trades("SOL/USD", limit=100)
    assert any((t["side"], t["type"], t["amount"]) == ("sell", "market", 1.0) for t in trades)


@pytest.mark.parametrize(
    "params", [{"clientOrderId": "d15708c1-dbb6-465d-b77d-47258319cc90"}, {"userref": 4711}]
)
async def test_an_order_is_found_and_cancelled_by_its_clients_name(
    client: Any, params: dict[str, Any]
) -> None:
    """cl_ord_id and userref both name an order in queries and in a cancel."""
    order = await client.create_order("BTC/USD", "limit", "buy", 0.01, 10_000, params)
    found = await client.fetch_open_orders(params=params)
    assert [o["id"] for o in found] == [order["id"]]
    assert found[0]["clientOrderId"] == str(next(iter(params.values())))
    await client.cancel_order(order["id"], "BTC/USD", params)
    closed = await client.fetch_closed_orders(params=params)
    assert [(o["id"], o["status"]) for o in closed] == [(order["id"], "canceled")]


async def test_a_client_order_id_is_taken_only_once(client: Any) -> None:
    """A second open order with the same cl_ord_id is refused, so a retry cannot double."""
    import ccxt  # noqa: PLC0415

    params = {"clientOrderId": "only-one"}
    await client.create_order("BTC/USD", "limit", "buy", 0.01, 10_000, params)
    with pytest.raises(ccxt.ExchangeError, match="Duplicate"):
        await client.create_order("BTC/USD", "limit", "buy", 0.01, 10_000, params)


async def test_money_adds_up_to_the_last_digit(client: Any) -> None:
    """Fills, fees and costs of a large order are exactly what left and came to the account."""
    before = (await client.privatePostBalance())["result"]
    order = await client.create_order("BTC/USD", "market", "buy", 0.8)
    after = (await client.privatePostBalance())["result"]
    raw = (await client.fetch_order(order["id"]))["info"]
    trades = [t["info"] for t in await client.fetch_my_trades("BTC/USD")]
    assert len(trades) > 1, "so much must come in several fills"
    assert sum(number(t["vol"]) for t in trades) == number(raw["vol_exec"]) == Decimal("0.8")
    assert sum(number(t["cost"]) for t in trades) == number(raw["cost"])
    assert sum(number(t["fee"]) for t in trades) == number(raw["fee"]) > 0
    spent = number(before["ZUSD"]) - number(after["ZUSD"])
    assert spent == number(raw["cost"]) + number(raw["fee"])
    assert number(after["XXBT"]) - number(before["XXBT"]) == Decimal("0.8")


async def test_a_resting_order_fills_as_maker(client: Any) -> None:
    """Orders at the best prices are hit by the crowd, and pay the maker's fee."""
    import ccxt  # noqa: PLC0415

    async def place() -> list[str]:
        book = await client.fetch_order_book("SOL/USD", 1)
        ids = []
        for side, levels in (("buy", book["bids"]), ("sell", book["asks"])):
            with contextlib.suppress(ccxt.ExchangeError):  # the price has moved: try again
                args = ("SOL/USD", "limit", side, 0.5, levels[0][0], {"postOnly": True})
                ids.append((await client.create_order(*args))["id"])
        return ids

    ids = await until(place)

    async def filled() -> list[Any]:
        orders = [await client.fetch_order(order_id) for order_id in ids]
        return [order for order in orders if order["status"] == "closed"]

    raw = (await until(filled))[0]
    trades = await client.fetch_order_trades(raw["id"], params={"trades": raw["trades"]})
    assert {t["takerOrMaker"] for t in trades} == {"maker"}
    assert sum(number(t["amount"]) for t in trades) == Decimal("0.5")
    assert 0 < number(raw["fee"]["cost"]) < number(raw["cost"]) * Decimal("0.0017")


async def test_an_open_order_holds_its_money(client: Any) -> None:
    """What an open order may cost is not free for another one."""
    import ccxt  # noqa: PLC0415

    await client.create_order("BTC/USD", "limit", "buy", 1.9, 50_000)
    balance = await client.fetch_balance()
    assert balance["USD"]["used"] == pytest.approx(1.9 * 50_000 * 1.0026)
    with pytest.raises(ccxt.InsufficientFunds):
        await client.create_order("BTC/USD", "limit", "buy", 0.2, 50_000)
    await client.cancel_all_orders()
    assert (await client.fetch_balance())["USD"]["used"] == 0


async def test_a_buyer_can_spend_a_sum(client: Any) -> None:
    """A market order by cost buys what the sum pays for, and not more."""
    order = await client.create_market_buy_order_with_cost("BTC/USD", 1000)
    done = await client.fetch_order(order["id"])
    assert 990 < done["cost"] <= 1000


async def test_many_orders_are_cancelled_at_once(client: Any) -> None:
    """The batch takes the ids it is given and leaves the others."""
    ids = [
        (await client.create_order("BTC/USD", "limit", "buy", 0.01, 10_000 + n))["id"]
        for n in range(3)
    ]
    await client.cancel_orders(ids[:2])
    assert [o["id"] for o in await client.fetch_open_orders()] == ids[2:]


async def test_the_dead_man_switch_fires(client: Any, faults: FaultCaller) -> None:
    """Not re-armed in time, the switch cancels everything, and the journal tells."""
    await client.create_order("BTC/USD", "limit", "buy", 0.01, 10_000)
    await client.privatePostCancelAllOrdersAfter({"timeout": 1})

    async def gone() -> bool:
        return not await client.fetch_open_orders()

    await until(gone)
    entries = await faults.journal("dead_man_armed", "dead_man_fired", "order_cancelled")
    assert [entry["event"] for entry in entries] == [
        "dead_man_armed",
        "order_cancelled",
        "dead_man_fired",
    ]
    assert entries[1]["reason"] == "dead_man"
    assert entries[2]["count"] == 1
    assert entries[2]["time"] - entries[0]["time"] >= 1.0


async def test_the_dead_man_switch_is_rearmed_and_disarmed(
    client: Any, venue: Venue, faults: FaultCaller
) -> None:
    """A new timeout starts the count again; zero ends it."""
    answer = await client.cancel_all_orders_after(60_000)
    assert answer["result"]["triggerTime"] > answer["result"]["currentTime"]
    first = venue.engine.switches.deadlines["alpha"]
    await client.cancel_all_orders_after(90_000)
    assert venue.engine.switches.deadlines["alpha"] > first + 20
    assert (await client.cancel_all_orders_after(0))["result"]["triggerTime"] == "0"
    assert venue.engine.switches.deadlines == {}
    assert await faults.journal("dead_man_disarmed")


async def test_two_accounts_do_not_see_each_other(client: Any, files: Files) -> None:
    """Another key's account has its own orders, but trades with the same market."""
    import ccxt.async_support as ccxt  # noqa: PLC0415

    best = (await client.fetch_order_book("ETH/BTC", 1))["bids"][0][0]
    await client.create_order("ETH/BTC", "limit", "sell", 0.5, round(best * 3, 5))
    other = ccxt.kraken(files.options("manual"))
    try:
        await other.load_markets()
        assert await other.fetch_open_orders() == []
        taken = await other.create_order("ETH/BTC", "market", "buy", 0.01)
        assert (await other.fetch_order(taken["id"]))["filled"] == 0.01
    finally:
        await other.close()
