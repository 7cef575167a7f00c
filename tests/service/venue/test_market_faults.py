"""Faults of the market and the feed: maintenance, pairs, prices, the clock, gaps, fills."""

from typing import Any

import aiohttp
import pytest

from tests.service.venue.harness import AccountFeed, FaultCaller, Files, until
from trading_ops import clock
from trading_ops_lab.paper.venue.orders import ZERO
from trading_ops_lab.paper.venue.venue import Venue

pytestmark = pytest.mark.processes

ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01", "price": "1000"}
MARKET = {"pair": "XBTUSD", "type": "buy", "ordertype": "market", "volume": "0.01"}


@pytest.mark.parametrize(
    ("status", "limit", "post", "market", "cancel"),
    [
        ("maintenance", "EService:Unavailable", "EService:Unavailable", "EService:Unavailable", 0),
        ("cancel_only", *["EService:Market in cancel_only mode"] * 3, 1),
        ("post_only", "EService:Market in post_only mode", "", "", 1),
        ("limit_only", "", "", "EService:Market in limit_only mode", 1),
    ],
)
async def test_maintenance_takes_only_what_its_mode_allows(
    call: Any,
    faults: FaultCaller,
    *,
    status: str,
    limit: str,
    post: str,
    market: str,
    cancel: int,
) -> None:
    """Each mode refuses in Kraken's words, says so in its status, and lets cancels through."""
    resting = (await call("AddOrder", **ORDER))["result"]["txid"][0]
    fault = await faults.inject("maintenance", status=status)
    assert [(await call("AddOrder", **ORDER)).get("error")] == [[limit] if limit else []]
    posted = await call("AddOrder", **ORDER, oflags="post")
    assert posted["error"] == ([post] if post else [])
    if status != "post_only":
        assert (await call("AddOrder", **MARKET))["error"] == [market]
    answer = await call("CancelOrder", txid=resting)
    assert answer["error"] == ([] if cancel else ["EService:Unavailable"])
    await faults.clear(fault)
    assert (await call("AddOrder", **MARKET))["error"] == []


async def test_maintenance_is_reported(
    account_feed: AccountFeed, files: Files, http: aiohttp.ClientSession, faults: FaultCaller
) -> None:
    """SystemStatus, AssetPairs, the status channel and the instruments all say the same."""
    await account_feed.of("status")
    await account_feed.ask("subscribe", channel="instrument")
    snapshot = await account_feed.of("instrument")
    assert {pair["status"] for pair in snapshot["data"]["pairs"]} == {"online"}
    await faults.inject("maintenance", status="cancel_only")
    async with http.get(files.url + "/0/public/SystemStatus") as answer:
        assert (await answer.json())["result"]["status"] == "cancel_only"
    async with http.get(files.url + "/0/public/AssetPairs?pair=XBTUSD") as answer:
        assert (await answer.json())["result"]["XXBTZUSD"]["status"] == "cancel_only"
    assert (await account_feed.of("status"))["data"][0]["system"] == "cancel_only"
    update = await account_feed.of("instrument")
    assert {pair["status"] for pair in update["data"]["pairs"]} == {"cancel_only"}


async def test_one_pair_alone_can_be_closed(call: Any, faults: FaultCaller) -> None:
    """The others trade on."""
    await faults.inject("pair_status", pair="BTC/USD", status="post_only")
    assert (await call("AddOrder", **MARKET))["error"] == ["EService:Market in post_only mode"]
    assert (await call("AddOrder", **MARKET | {"pair": "ETHUSD"}))["error"] == []


async def test_resting_orders_are_not_filled_while_no_one_trades(
    call: Any, venue: Venue, faults: FaultCaller
) -> None:
    """A jump of the price through a resting order fills it only after the market is open again."""
    price = str(int(venue.engine.markets["XXBTZUSD"].last.price * 95 / 100))
    await call("AddOrder", **ORDER | {"price": price})
    closed = await faults.inject("maintenance", status="cancel_only")
    await faults.inject("price_jump", pair="XBTUSD", percent=-10)
    for _ in range(20):
        venue.engine.step(clock.timestamp())
    assert len((await call("OpenOrders"))["result"]["open"]) == 1
    await faults.clear(closed)

    async def filled() -> bool:
        return not (await call("OpenOrders"))["result"]["open"]

    await until(filled)


async def test_a_price_jumps_and_comes_back(venue: Venue, faults: FaultCaller) -> None:
    """All pairs of the asset follow; cleared, the price is where it would have been."""

    def worth() -> float:
        return venue.engine.walk.value(venue.engine.markets["XXBTZUSD"].pair.base)

    before = worth()
    fault = await faults.inject("price_jump", pair="BTC/USD", percent=-20)
    assert worth() == pytest.approx(before * 0.8, rel=0.02)
    await faults.clear(fault)
    assert worth() == pytest.approx(before, rel=0.02)


async def test_the_clock_is_wrong_everywhere(
    call: Any,
    account_feed: AccountFeed,
    files: Files,
    http: aiohttp.ClientSession,
    faults: FaultCaller,
) -> None:
    """REST, its Date header, the feed, orders and trades have the same wrong time."""
    await faults.inject("wrong_clock", offset_seconds=-3600)
    async with http.get(files.url + "/0/public/Time") as answer:
        unixtime = (await answer.json())["result"]["unixtime"]
        assert "GMT" in answer.headers["Date"]
        date = answer.headers["Date"]
    assert unixtime - clock.timestamp() == pytest.approx(-3600, abs=5)
    from email.utils import parsedate_to_datetime  # noqa: PLC0415

    assert parsedate_to_datetime(date).timestamp() == pytest.approx(unixtime, abs=5)
    order_id = (await call("AddOrder", **MARKET))["result"]["txid"][0]
    order = (await call("QueryOrders", txid=order_id, trades="true"))["result"][order_id]
    (trade, *_) = (await call("QueryTrades", txid=order["trades"][0]))["result"].values()
    for moment in (order["opentm"], order["closetm"], trade["time"]):
        assert moment - clock.timestamp() == pytest.approx(-3600, abs=5)


async def test_a_gapped_feed_loses_messages_but_not_their_numbers(
    account_feed: AccountFeed, faults: FaultCaller
) -> None:
    """Two updates are missing, and the numbers show it."""
    await account_feed.ask("subscribe", channel="balances")
    await account_feed.of("balances")
    await faults.inject("gapped_feed", channels=["balances"], count=2)
    for amount in ("1", "2", "3"):
        await faults.hand("alpha", "deposits", asset="USD", amount=amount)
    messages = await account_feed.of("balances")
    assert (messages["sequence"], messages["data"][0]["amount"]) == (4, 3)


async def test_a_book_with_a_gap_fails_its_checksum(
    account_feed: AccountFeed, faults: FaultCaller
) -> None:
    """Applied updates agree with the checksum until one is lost."""
    await account_feed.ask("subscribe", channel="book", symbol=["BTC/USD"], depth=10)
    book: dict[str, dict[Any, Any]] = {"bids": {}, "asks": {}}

    async def apply() -> bool:
        """Apply the next message; say whether the checksum is right."""
        from trading_ops_lab.paper.venue.feed.shapes import checksum  # noqa: PLC0415
        from trading_ops_lab.paper.venue.pairs import SYMBOLS  # noqa: PLC0415

        data = (await account_feed.of("book"))["data"][0]
        for side, levels in book.items():
            for level in data[side]:
                levels[level["price"]] = level["qty"]
                if level["qty"] == ZERO:
                    del levels[level["price"]]
        return bool(checksum(SYMBOLS["BTC/USD"], book["bids"], book["asks"]) == data["checksum"])

    assert [await apply() for _ in range(4)] == [True] * 4
    assert [len(side) for side in book.values()] == [10, 10]
    await faults.inject("gapped_feed", channels=["book"], count=1)

    async def wrong() -> bool:
        return not await apply()

    await until(wrong)


async def test_a_fill_is_reported_twice(
    account_feed: AccountFeed, call: Any, faults: FaultCaller
) -> None:
    """The same exec_id comes again with the next number; money moved once."""
    await account_feed.ask("subscribe", channel="executions")
    await account_feed.of("executions")
    await faults.inject("fill_twice", count=1)
    await call("AddOrder", **MARKET)
    executions = await account_feed.executions(5)
    assert [execution["exec_type"] for execution in executions] == [
        "pending_new",
        "new",
        "trade",
        "trade",
        "filled",
    ]
    assert executions[2] == executions[3]
    assert len((await call("TradesHistory"))["result"]["trades"]) == 1


async def test_a_fill_is_reported_late(
    account_feed: AccountFeed, call: Any, faults: FaultCaller
) -> None:
    """The order is filled and the money moved; neither feed nor history tell of the trade yet."""
    await account_feed.ask("subscribe", channel="executions")
    await account_feed.of("executions")
    fault = await faults.inject("fill_late", delay_seconds=1.5, accounts=["alpha"])
    order_id = (await call("AddOrder", **MARKET))["result"]["txid"][0]
    order = (await call("QueryOrders", txid=order_id, trades="true"))["result"][order_id]
    assert (order["status"], order["vol_exec"]) == ("closed", "0.01000000")
    assert "trades" not in order
    assert (await call("TradesHistory"))["result"] == {"trades": {}, "count": 0}
    assert [execution["exec_type"] for execution in await account_feed.executions(2)] == [
        "pending_new",
        "new",
    ]
    await faults.clear(fault)
    executions = await account_feed.executions(2)
    assert [execution["exec_type"] for execution in executions] == ["trade", "filled"]
    history = (await call("TradesHistory"))["result"]["trades"]
    assert set(history) == {executions[0]["exec_id"]}
    assert history[executions[0]["exec_id"]]["ordertxid"] == order_id


async def test_an_order_is_filled_in_part_and_then_cancelled(
    account_feed: AccountFeed, call: Any, faults: FaultCaller
) -> None:
    """A share of it is bought, the rest goes, and nothing stays held."""
    await account_feed.ask("subscribe", channel="executions")
    await account_feed.of("executions")
    await faults.inject("partial_cancel", share=0.25, count=1, methods=["AddOrder"])
    order_id = (await call("AddOrder", **MARKET))["result"]["txid"][0]
    order = (await call("QueryOrders", txid=order_id))["result"][order_id]
    assert (order["status"], order["vol_exec"]) == ("canceled", "0.00250000")
    assert order["reason"] == "Insufficient liquidity"
    executions = await account_feed.executions(4)
    assert [execution["exec_type"] for execution in executions] == [
        "pending_new",
        "new",
        "trade",
        "canceled",
    ]
    assert (await call("BalanceEx"))["result"]["ZUSD"]["hold_trade"] == "0.0000"


async def test_a_resting_order_too_is_cancelled_after_a_part(
    call: Any, venue: Venue, faults: FaultCaller
) -> None:
    """The first fill of a marked order is its last."""
    await faults.inject("partial_cancel", share=0.5, count=1)
    last = venue.engine.markets["XXBTZUSD"].last.price
    order = ORDER | {"price": str(int(last * 97 / 100)), "volume": "0.02"}
    order_id = (await call("AddOrder", **order))["result"]["txid"][0]
    await faults.inject("price_jump", pair="XBTUSD", percent=-5)

    async def ended() -> dict[str, Any]:
        found = (await call("QueryOrders", txid=order_id))["result"][order_id]
        return found if found["status"] == "canceled" else {}

    done = await until(ended)
    assert 0 < float(done["vol_exec"]) <= 0.01
