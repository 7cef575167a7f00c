"""The private channels and orders over a raw WebSocket, in order and without a gap."""

from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from tests.service.venue.harness import AccountFeed, FaultCaller, Files
from trading_ops_lab.paper.venue import tokens
from trading_ops_lab.paper.venue.venue import Venue

pytestmark = pytest.mark.processes

RESTING = {"symbol": "BTC/USD", "side": "buy", "order_type": "limit", "limit_price": 1000}


async def subscribe(feed: AccountFeed, channel: str, **params: object) -> dict[str, Any]:
    """Subscribe and return the snapshot."""
    answer = await feed.ask("subscribe", channel=channel, **params)
    assert answer["success"] is True, answer
    snapshot = await feed.of(channel)
    assert (snapshot["type"], snapshot["sequence"]) == ("snapshot", 1)
    return snapshot


async def test_every_event_of_an_order_is_reported_in_order(account_feed: AccountFeed) -> None:
    """Placed, amended, cancelled: each step once, each message numbered, all with its names."""
    await subscribe(account_feed, "executions")
    placed = await account_feed.ask("add_order", **RESTING, order_qty=0.01, cl_ord_id="mine")
    order_id = placed["result"]["order_id"]
    changed = await account_feed.ask("amend_order", cl_ord_id="mine", limit_price=1001.5)
    assert changed["result"]["amend_id"].startswith("T")
    gone = await account_feed.ask("cancel_order", order_id=[order_id])
    assert gone["result"] == {"order_id": order_id}
    executions = await account_feed.executions(4)
    assert [execution["exec_type"] for execution in executions] == [
        "pending_new",
        "new",
        "amended",
        "canceled",
    ]
    assert {(execution["order_id"], execution["cl_ord_id"]) for execution in executions} == {
        (order_id, "mine")
    }
    assert (executions[0]["limit_price"], executions[2]["limit_price"]) == (
        Decimal("1000.0"),
        Decimal("1001.5"),
    )
    assert executions[3]["reason"] == "User requested"


async def test_fills_add_up_to_the_order_and_to_the_balance(account_feed: AccountFeed) -> None:
    """Each fill comes once, then the whole order; the money that moved is the same to the digit."""
    before = await subscribe(account_feed, "balances")
    dollars = {item["asset"]: item for item in before["data"]}["USD"]["balance"]
    await subscribe(account_feed, "executions")
    order = {"symbol": "BTC/USD", "side": "buy", "order_type": "market", "order_qty": 0.6}
    placed = await account_feed.ask("add_order", **order)
    executions = await account_feed.executions(3)
    while executions[-1]["exec_type"] != "filled":
        executions += await account_feed.executions(1)
    trades, whole = executions[2:-1], executions[-1]
    assert {trade["exec_type"] for trade in trades} == {"trade"}
    assert {trade["order_status"] for trade in trades} == {"partially_filled"}
    assert sum(trade["last_qty"] for trade in trades) == whole["cum_qty"] == Decimal("0.6")
    assert sum(trade["cost"] for trade in trades) == whole["cum_cost"]
    assert {execution["order_id"] for execution in executions} == {placed["result"]["order_id"]}
    moved = [(await account_feed.of("balances"))["data"][0] for _ in range(2 * len(trades))]
    paid = [entry for entry in moved if entry["asset"] == "USD"]
    fees = sum(trade["fees"][0]["qty"] for trade in trades)
    assert paid[-1]["balance"] == dollars - whole["cum_cost"] - fees
    assert {entry["ref_id"] for entry in moved} == {entry["exec_id"] for entry in trades}


async def test_a_snapshot_has_what_was_before(account_feed: AccountFeed, call: Any) -> None:
    """Open orders, the last trades if wanted, and balances with what is held."""
    market = {"pair": "XBTUSD", "type": "buy", "ordertype": "market", "volume": "0.01"}
    await call("AddOrder", **market)
    limit = market | {"ordertype": "limit", "price": "1000"}
    resting = (await call("AddOrder", **limit))["result"]["txid"][0]
    snapshot = await subscribe(account_feed, "executions", snap_trades=True)
    kinds = [(execution["exec_type"], execution["order_status"]) for execution in snapshot["data"]]
    assert kinds == [("new", "new"), ("trade", "partially_filled")]
    assert snapshot["data"][0]["order_id"] == resting
    dollars = {
        balance["asset"]: balance for balance in (await subscribe(account_feed, "balances"))["data"]
    }
    assert dollars["USD"]["hold_trade"] == Decimal("0.01") * 1000 * Decimal("1.0026")
    assert dollars["BTC"]["balance"] == Decimal("1.01")


async def test_only_the_essential_is_reported_if_requested(account_feed: AccountFeed) -> None:
    """Without `order_status` the states on the way are left out."""
    await subscribe(account_feed, "executions", order_status=False)
    await account_feed.ask("add_order", **RESTING, order_qty=0.01, cl_ord_id="a")
    await account_feed.ask("amend_order", cl_ord_id="a", order_qty=0.02)
    await account_feed.ask("cancel_all")
    executions = await account_feed.executions(2)
    assert [execution["exec_type"] for execution in executions] == ["new", "canceled"]


async def test_another_account_hears_nothing(account_feed: AccountFeed, call: Any) -> None:
    """News go to the account whose they are."""
    await subscribe(account_feed, "executions")
    order = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "1", "price": "10"}
    await call("AddOrder", "manual", **order)
    await call("AddOrder", "second", **order, cl_ord_id="ours")
    executions = await account_feed.executions(1)
    assert executions[0]["cl_ord_id"] == "ours", "the second key is of the same account"


@pytest.mark.parametrize(
    ("method", "params", "error"),
    [
        ("subscribe", {"channel": "executions", "token": "forged"}, "ESession:Invalid session"),
        ("subscribe", {"channel": "balances"}, "ESession:Invalid session"),
        ("add_order", {**RESTING, "order_qty": 1, "token": "forged"}, "ESession:Invalid session"),
    ],
)
async def test_a_token_is_needed(
    venue: Venue,
    files: Files,
    http: aiohttp.ClientSession,
    method: str,
    params: dict[str, Any],
    error: str,
) -> None:
    """Without a token from the venue, no private data is returned and nothing is done."""
    async with http.ws_connect(files.url + "/v2") as socket:
        feed = AccountFeed(socket, "")
        await socket.send_json({"method": method, "params": params})
        answer = await feed.next(lambda m: m.get("method") == method)
    assert (answer["success"], answer["error"]) == (False, error)
    assert venue.engine.accounts["alpha"].open == {}


@pytest.mark.parametrize(
    ("method", "params", "error"),
    [
        ("add_order", {**RESTING, "symbol": "XBT/USD"}, "Currency pair not supported XBT/USD"),
        ("add_order", {**RESTING, "order_qty": -1}, "EGeneral:Invalid arguments:volume"),
        ("add_order", {**RESTING, "order_qty": 1e300}, "EGeneral:Invalid arguments:volume"),
        (
            "add_order",
            {**RESTING, "order_qty": 1, "margin": True},
            "EGeneral:Invalid arguments:lev",
        ),
        ("add_order", {"color": "red"}, "Malformed request"),
        ("add_order", {**RESTING, "order_qty": "x"}, "Malformed request"),
        (
            "amend_order",
            {"order_id": "OAAAAA-AAAAA-AAAAAA", "order_qty": 1},
            "EOrder:Unknown order",
        ),
        ("cancel_order", {"order_id": ["OAAAAA-AAAAA-AAAAAA"]}, "EOrder:Unknown order"),
        ("cancel_order", {}, "EGeneral:Invalid arguments"),
        ("cancel_all_orders_after", {"timeout": -1}, "EGeneral:Invalid arguments:timeout"),
    ],
)
async def test_a_wrong_order_is_answered(
    account_feed: AccountFeed, venue: Venue, method: str, params: dict[str, Any], error: str
) -> None:
    """What cannot be done is named, the connection stays, and no order is there."""
    await account_feed.say(method, **params)
    answer = await account_feed.next(lambda m: m.get("success") is False)
    assert answer["error"].startswith(error)
    assert venue.engine.accounts["alpha"].open == {}
    assert (await account_feed.ask("cancel_all"))["result"] == {"count": 0}


async def test_a_huge_number_costs_nothing(account_feed: AccountFeed) -> None:
    """A number with a giant exponent is refused, not written out."""
    text = '{"method":"add_order","params":{"token":"%s","symbol":"BTC/USD","side":"buy",'
    text += '"order_type":"limit","limit_price":1e999999999,"order_qty":1}}'
    await account_feed.socket.send_str(text % account_feed.token)
    answer = await account_feed.next(lambda m: m.get("success") is False)
    assert answer["error"].startswith("EGeneral:Invalid arguments")


async def test_the_switch_can_be_armed_over_websocket(
    account_feed: AccountFeed, venue: Venue, faults: FaultCaller
) -> None:
    """It is the same switch; the journal tells by which key."""
    answer = await account_feed.ask("cancel_all_orders_after", timeout=60)
    assert answer["result"]["triggerTime"] > answer["result"]["currentTime"]
    assert "alpha" in venue.engine.switches.deadlines
    assert (await faults.journal("dead_man_armed"))[0]["by_key"] == "alpha"


async def test_a_token_must_be_used_in_time(account_feed: AccountFeed, venue: Venue) -> None:
    """After its time a token opens nothing new, but goes on where it was used."""
    await subscribe(account_feed, "executions")
    book = venue.feed._requests._tokens
    holder = book._holders[account_feed.token]
    book._holders[account_feed.token] = tokens.Holder(holder.key, holder.account, 0.0)
    assert (await account_feed.ask("cancel_all"))["success"] is True
    with pytest.raises(Exception, match="Invalid session"):
        book.holder(account_feed.token, 1.0, in_use=False)


async def test_news_are_cancelled_too(account_feed: AccountFeed) -> None:
    """After an unsubscription nothing comes; the next subscription starts at one again."""
    await subscribe(account_feed, "executions")
    assert (await account_feed.ask("unsubscribe", channel="executions"))["success"] is True
    await account_feed.ask("add_order", **RESTING, order_qty=0.01)
    snapshot = await subscribe(account_feed, "executions")
    assert len(snapshot["data"]) == 1
    again = await account_feed.ask("subscribe", channel="executions")
    assert again["error"].startswith("Already subscribed")
