"""The real ccxt through the whole life of orders: stops, amendments, pages of the past, money."""

from decimal import Decimal
from typing import Any

import pytest

from tests.service.venue.harness import FaultCaller, until

pytestmark = pytest.mark.processes


def number(value: Any) -> Decimal:
    return Decimal(str(value))


async def last_price(client: Any) -> float:
    return float((await client.fetch_ticker("BTC/USD"))["last"])


async def test_a_stop_loss_sells_when_the_price_falls(client: Any, faults: FaultCaller) -> None:
    """It holds its volume, sleeps until the last price is at its trigger, and then sells all."""
    trigger = round(await last_price(client) * 0.95, 1)
    placed = await client.create_order(
        "BTC/USD", "market", "sell", 0.2, None, {"stopLossPrice": trigger}
    )
    (asleep,) = await client.fetch_open_orders()
    assert (asleep["stopLossPrice"], asleep["filled"]) == (trigger, 0)
    assert (await client.fetch_balance())["BTC"]["used"] == 0.2
    await faults.inject("price_jump", pair="BTC/USD", percent=-10)

    async def sold() -> Any:
        order = await client.fetch_order(placed["id"])
        return order if order["status"] == "closed" else None

    done = await until(sold)
    assert done["filled"] == 0.2
    assert done["average"] < trigger
    entries = await faults.journal("order_added", "order_triggered", "order_filled")
    assert [entry["event"] for entry in entries][:3] == [
        "order_added",
        "order_triggered",
        "order_filled",
    ]
    assert (await client.fetch_balance())["BTC"]["used"] == 0


async def test_a_take_profit_waits_for_the_other_side(client: Any, faults: FaultCaller) -> None:
    """A fall does not wake it; a rise does. Its limit then rests if it is not reached."""
    price = await last_price(client)
    params = {"takeProfitPrice": round(price * 1.05, 1)}
    limit = round(price * 2, 1)
    placed = await client.create_order("BTC/USD", "limit", "sell", 0.1, limit, params)
    fall = await faults.inject("price_jump", pair="BTC/USD", percent=-10)
    await faults.clear(fall)
    await faults.inject("price_jump", pair="BTC/USD", percent=10)

    async def triggered() -> Any:
        order = await client.fetch_order(placed["id"])
        return order if order["info"]["misc"] == "stopped" else None

    order = await until(triggered)
    assert (order["status"], order["filled"], order["price"]) == ("open", 0, limit)


async def test_an_order_is_amended_in_place(client: Any) -> None:
    """Same id, new price and volume, and what is held follows."""
    placed = await client.create_order(
        "BTC/USD", "limit", "buy", 0.01, 10_000, {"clientOrderId": "amend-me"}
    )
    await client.edit_order(placed["id"], "BTC/USD", "limit", "buy", 0.02, 11_000)
    (order,) = await client.fetch_open_orders()
    assert (order["id"], order["amount"], order["price"]) == (placed["id"], 0.02, 11_000)
    assert order["clientOrderId"] == "amend-me"
    held = (await client.fetch_balance())["USD"]["used"]
    assert held == pytest.approx(0.02 * 11_000 * 1.0026)
    ask = (await client.fetch_order_book("BTC/USD", 1))["asks"][0][0]
    price = round(ask * 1.01, 1)
    params = {"clientOrderId": "amend-me"}
    await client.edit_order(placed["id"], "BTC/USD", "limit", "buy", 0.02, price, params)
    done = await client.fetch_order(placed["id"])
    assert (done["status"], done["filled"]) == ("closed", 0.02)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({}, "EGeneral:Invalid arguments"),
        ({"order_qty": "0.00001"}, "EOrder:Order minimum not met"),
        ({"order_qty": "500"}, "EOrder:Insufficient funds"),
        ({"limit_price": "1000.12"}, "EOrder:Invalid price"),
        ({"trigger_price": "900"}, "EGeneral:Invalid arguments:trigger_price"),
        ({"limit_price": "900000", "post_only": "true"}, "EOrder:Post only order"),
    ],
)
async def test_a_wrong_amendment_changes_nothing(
    call: Any, change: dict[str, str], error: str
) -> None:
    """It is refused in Kraken's words, and the order is as it was."""
    order = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01"}
    order_id = (await call("AddOrder", **order, price="1000"))["result"]["txid"][0]
    before = (await call("QueryOrders", txid=order_id))["result"]
    assert (await call("AmendOrder", txid=order_id, **change))["error"][0].startswith(error)
    assert (await call("QueryOrders", txid=order_id))["result"] == before


async def test_the_past_comes_in_pages_without_gaps_or_doubles(client: Any, call: Any) -> None:
    """120 trades in pages of 50; `start` and `end` are times or ids; the count can be left out."""
    for _ in range(120):
        await client.create_order("SOL/USD", "market", "buy", 0.05)
    pages = [
        (await call("TradesHistory", "second", ofs=ofs))["result"] for ofs in (0, 50, 100, 150)
    ]
    assert [len(page["trades"]) for page in pages] == [50, 50, 20, 0]
    assert {page["count"] for page in pages} == {120}
    ids = [trade_id for page in pages for trade_id in page["trades"]]
    assert len(set(ids)) == 120
    numbers = [trade["trade_id"] for page in pages for trade in page["trades"].values()]
    assert numbers == sorted(numbers, reverse=True)
    after = (await call("TradesHistory", "second", start=ids[10], without_count="true"))["result"]
    assert after == {"trades": {name: pages[0]["trades"][name] for name in ids[:10]}}
    until_then = (await call("TradesHistory", "second", end=ids[100]))["result"]
    assert (next(iter(until_then["trades"])), until_then["count"]) == (ids[100], 20)
    ccxts = await client.fetch_my_trades("SOL/USD", params={"ofs": 50})
    assert {trade["id"] for trade in ccxts} == set(ids[50:100])
    closed = [(await call("ClosedOrders", "second", ofs=ofs))["result"] for ofs in (0, 100)]
    assert [(len(page["closed"]), page["count"]) for page in closed] == [(50, 120), (20, 120)]
    assert (await call("TradesHistory", "second", start="TAAAAA-AAAAA-AAAAAA"))["error"] == [
        "EGeneral:Invalid arguments:start"
    ]


async def test_the_ledger_explains_every_balance(
    client: Any, call: Any, faults: FaultCaller
) -> None:
    """Deposits, withdrawals and trades: amounts less fees are the balances to the last digit."""
    await client.create_order("BTC/USD", "market", "buy", 0.5)
    await client.create_order("ETH/BTC", "market", "sell", 2)
    await faults.hand("alpha", "deposits", asset="USD", amount="1234.5678")
    await faults.hand("alpha", "deposits", asset="XBT", amount="-0.25")
    entries: list[dict[str, Any]] = []
    while (
        len(entries)
        < (page := (await call("Ledgers", "second", ofs=len(entries)))["result"])["count"]
    ):
        entries += page["ledger"].values()
    sums: dict[str, Decimal] = {}
    for entry in reversed(entries):
        asset = entry["asset"]
        sums[asset] = sums.get(asset, Decimal(0)) + number(entry["amount"]) - number(entry["fee"])
        assert number(entry["balance"]) == sums[asset]
    balances = (await call("Balance", "second"))["result"]
    assert {asset: number(amount) for asset, amount in balances.items()} == sums
    ledger = await client.fetch_ledger("USD")
    assert ledger[-1]["amount"] == 1234.5678
    deposits = (await call("Ledgers", "second", type="deposit", asset="ZUSD"))["result"]
    assert [entry["amount"] for entry in deposits["ledger"].values()] == [
        "1234.5678",
        "100000.0000",
    ]
    (name, entry), *_ = deposits["ledger"].items()
    empty = (await call("Ledgers", "second", type="withdrawal", asset="USD"))["result"]
    assert empty == {"ledger": {}, "count": 0}
    assert (await call("Ledgers", "second", asset="DOGE"))["error"] == ["EQuery:Unknown asset"]
    assert (await call("QueryLedgers", "second", id=name))["result"] == {name: entry}


async def test_what_is_not_booked_is_in_the_balance_and_nowhere_else(
    call: Any, faults: FaultCaller
) -> None:
    """As by a mistake of the venue: no bot can explain it; but the journal tells the truth."""
    before = (await call("Ledgers", "second"))["result"]
    await faults.hand("alpha", "deposits", asset="ETH", amount="-0.001", booked=False)
    assert number((await call("Balance", "second"))["result"]["XETH"]) == Decimal("9.999")
    assert (await call("Ledgers", "second"))["result"] == before
    assert (await faults.journal("money_moved"))[-1]["reference"] == ""


async def test_someone_trades_by_hand_on_the_same_account(
    client: Any, call: Any, faults: FaultCaller
) -> None:
    """The bot's key sees orders, trades and balances that it never asked for; the journal knows."""
    resting = await client.create_order("BTC/USD", "limit", "buy", 0.01, 10_000)
    order = {"pair": "BTC/USD", "type": "sell", "ordertype": "market", "volume": "0.3"}
    by_hand = await faults.hand("alpha", "orders", **order)
    assert by_hand["status"] == "closed"
    assert (await client.fetch_balance())["BTC"]["total"] == pytest.approx(0.7)
    trades = await client.fetch_my_trades()
    assert {trade["order"] for trade in trades} == {by_hand["order"]}
    (added,) = [e for e in await faults.journal("order_added") if e["order"] == by_hand["order"]]
    assert (added["key"], added["by_key"]) == ("hand", "hand")
    other_key = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "1", "price": "9"}
    placed = (await call("AddOrder", "second", **other_key))["result"]["txid"][0]
    assert {o["id"] for o in await client.fetch_open_orders()} == {resting["id"], placed}
    status, body = await faults.call("DELETE", "/accounts/alpha/orders", json={"order": placed})
    assert (status, body) == (200, {"count": 1})
    truth = await faults.hand("alpha")
    assert list(truth["open"]) == [resting["id"]]
    assert (truth["balances"]["XXBT"], truth["trades"]) == ("0.7000000000", len(trades))
    assert truth["held"]["ZUSD"] == "100.2600"


@pytest.mark.parametrize(
    ("account", "what", "body", "code", "problem"),
    [
        ("nobody", "deposits", {"asset": "USD", "amount": "1"}, 404, "unknown account"),
        ("alpha", "deposits", {"asset": "DOGE", "amount": "1"}, 422, "Unknown asset"),
        ("alpha", "deposits", {"asset": "USD", "amount": "NaN"}, 422, "Invalid amount"),
        ("alpha", "deposits", {"asset": "USD", "amount": "0"}, 422, "Invalid amount"),
        ("alpha", "deposits", {"asset": "USD", "amount": "1e999999999"}, 422, "Invalid amount"),
        ("alpha", "deposits", {"asset": "USD", "amount": "-100001"}, 422, "Insufficient funds"),
        ("alpha", "deposits", {"amount": "1"}, 422, "asset"),
        ("alpha", "orders", {"pair": "NOPE"}, 422, "Unknown asset pair"),
    ],
)
async def test_a_wrong_hand_is_stopped(
    client: Any, faults: FaultCaller, *, account: str, what: str, body: Any, code: int, problem: str
) -> None:
    """Neither money nor orders come out of nothing."""
    status, answer = await faults.call("POST", f"/accounts/{account}/{what}", json=body)
    assert (status, problem in answer["error"]) == (code, True)
    assert (await client.fetch_balance())["USD"]["total"] == 100_000
