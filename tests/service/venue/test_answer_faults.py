"""Faults of single answers: each meets whom it should, as often as it should, and then ends."""

from typing import Any

import aiohttp
import pytest

from tests.service.venue.harness import AccountFeed, FaultCaller, Files, until
from trading_ops_lab.paper.venue.venue import Venue

pytestmark = pytest.mark.processes

ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01", "price": "1000"}


async def gone(faults: FaultCaller) -> bool:
    _, body = await faults.call("GET", "/faults")
    return not body["faults"]


async def test_an_order_is_taken_and_its_answer_lost(
    call: Any, files: Files, faults: FaultCaller, http: aiohttp.ClientSession
) -> None:
    """The client sees a dead connection, the order is there once, and the next answer arrives."""
    await faults.inject("lost_answer", methods=["AddOrder"], count=1)
    with pytest.raises(aiohttp.ClientConnectionError):
        await call("AddOrder", **ORDER, cl_ord_id="lost-once")
    found = (await call("OpenOrders", cl_ord_id="lost-once"))["result"]["open"]
    assert len(found) == 1
    assert (await call("AddOrder", **ORDER, cl_ord_id="another"))["error"] == []
    entries = await faults.journal("order_added", "answer_lost")
    assert [entry["event"] for entry in entries] == ["order_added", "answer_lost", "order_added"]
    assert (entries[0]["client_order_id"], entries[0]["by_key"]) == ("lost-once", "alpha")
    assert int(entries[0]["by_nonce"]) == 1

    async def ended() -> bool:
        return await gone(faults)

    await until(ended)


async def test_an_order_over_websocket_is_taken_and_its_answer_lost(
    account_feed: AccountFeed, venue: Venue, faults: FaultCaller
) -> None:
    """The connection ends instead of an answer; the order is there."""
    await faults.inject("lost_answer", methods=["orders"], count=1)
    order = {"symbol": "BTC/USD", "side": "buy", "order_type": "limit", "limit_price": 1000}
    await account_feed.say("add_order", **order, order_qty=0.01)
    while (message := await account_feed.socket.receive()).type is aiohttp.WSMsgType.TEXT:
        assert "order_id" not in message.data
    assert len(venue.engine.accounts["alpha"].open) == 1


async def test_an_order_is_taken_and_answered_with_an_error(
    call: Any, venue: Venue, faults: FaultCaller
) -> None:
    """The answer is the error, and the order is there."""
    await faults.inject("lost_answer", instead="EService:Timeout", methods=["AddOrder"], count=1)
    assert (await call("AddOrder", **ORDER, cl_ord_id="wrong-answer")) == {
        "error": ["EService:Timeout"]
    }
    assert len((await call("OpenOrders", cl_ord_id="wrong-answer"))["result"]["open"]) == 1
    entries = await faults.journal("order_added", "answer_lost")
    assert [entry["event"] for entry in entries] == ["order_added", "answer_lost"]
    assert (await call("AddOrder", **ORDER, cl_ord_id="another"))["error"] == []


async def test_an_order_over_websocket_is_taken_and_answered_with_an_error(
    account_feed: AccountFeed, venue: Venue, faults: FaultCaller
) -> None:
    """The connection stays, and the next order is answered as it should be."""
    await faults.inject("lost_answer", instead="EService:Timeout", methods=["orders"], count=1)
    order = {"symbol": "BTC/USD", "side": "buy", "order_type": "limit", "limit_price": 1000}
    answer = await account_feed.ask("add_order", **order, order_qty=0.01)
    assert (answer["success"], answer["error"]) == (False, "EService:Timeout")
    assert len(venue.engine.accounts["alpha"].open) == 1
    assert (await account_feed.ask("add_order", **order, order_qty=0.01))["success"]


async def test_a_reset_does_nothing(call: Any, venue: Venue, faults: FaultCaller) -> None:
    """The connection dies before the request is read: no order, and the nonce is not used."""
    await faults.inject("reset", methods=["AddOrder"], keys=["alpha"], count=2)
    for _ in range(2):
        with pytest.raises(aiohttp.ClientConnectionError):
            await call("AddOrder", **ORDER)
    assert venue.engine.accounts["alpha"].open == {}
    assert (await call("AddOrder", **ORDER))["error"] == []


async def test_a_right_nonce_is_refused(call: Any, files: Files, faults: FaultCaller) -> None:
    """A key's nonces are refused for a count; the nonce itself was not used up."""
    await faults.inject("nonce", keys=["alpha"], count=2)
    assert (await call("Balance", "second"))["error"] == []
    answers = [(await call("Balance"))["error"] for _ in range(3)]
    assert answers == [["EAPI:Invalid nonce"], ["EAPI:Invalid nonce"], []]


@pytest.mark.parametrize(
    ("target", "broken"),
    [
        ({"methods": ["OpenOrders"]}, {("alpha", "OpenOrders"), ("manual", "OpenOrders")}),
        ({"methods": ["history"]}, {("alpha", "TradesHistory"), ("manual", "TradesHistory")}),
        ({"accounts": ["manual"]}, {("manual", "OpenOrders"), ("manual", "TradesHistory")}),
        ({"methods": ["public"]}, set()),
        ({"keys": ["alpha"], "methods": ["OpenOrders"]}, {("alpha", "OpenOrders")}),
    ],
)
async def test_a_fault_meets_only_its_targets(
    call: Any, faults: FaultCaller, target: dict[str, Any], broken: set[tuple[str, str]]
) -> None:
    """Methods, groups of them, accounts and keys narrow a fault down."""
    await faults.inject("api_error", error="EGeneral:Internal error", **target)
    for key in ("alpha", "manual"):
        for method in ("OpenOrders", "TradesHistory"):
            errors = (await call(method, key))["error"]
            assert (errors == ["EGeneral:Internal error"]) == ((key, method) in broken)


async def test_only_public_requests_are_broken(
    call: Any, files: Files, faults: FaultCaller, http: aiohttp.ClientSession
) -> None:
    """A status can be that of one border alone."""
    await faults.inject("http_5xx", methods=["public"])
    async with http.get(files.url + "/0/public/Time") as answer:
        assert answer.status == 503
    assert (await call("Balance"))["error"] == []


async def test_a_seed_decides_who_is_struck(call: Any, faults: FaultCaller) -> None:
    """With a probability the same seed strikes the same requests, and not all of them."""

    async def struck(seed: int) -> list[bool]:
        fault = await faults.inject("api_error", probability=0.5, seed=seed)
        errors = [bool((await call("Balance"))["error"]) for _ in range(20)]
        await faults.clear(fault)
        return errors

    first = await struck(1)
    assert 0 < sum(first) < 20
    assert await struck(1) == first
    assert await struck(2) != first


@pytest.mark.parametrize(
    ("where", "rest", "websocket"),
    [("rest", False, True), ("websocket", True, False), ("both", False, False)],
)
async def test_balances_fail_where_they_should(
    call: Any,
    account_feed: AccountFeed,
    faults: FaultCaller,
    *,
    where: str,
    rest: bool,
    websocket: bool,
) -> None:
    """Over REST, over WebSocket or both; all else works, and recovered it tells again."""
    fault = await faults.inject("balance", where=where, error="EService:Busy")
    for method in ("Balance", "BalanceEx", "TradeBalance"):
        assert (await call(method))["error"] == ([] if rest else ["EService:Busy"])
    answer = await account_feed.ask("subscribe", channel="balances")
    assert answer["success"] is websocket
    assert (await call("OpenOrders"))["error"] == []
    await faults.clear(fault)
    assert (await call("Balance"))["error"] == []


async def test_open_balance_channels_fall_silent(
    account_feed: AccountFeed, faults: FaultCaller
) -> None:
    """An update that fails is not reported later: the next one has the next number."""
    await account_feed.ask("subscribe", channel="balances")
    assert (await account_feed.of("balances"))["sequence"] == 1
    fault = await faults.inject("balance", where="websocket")
    await faults.hand("alpha", "deposits", asset="USD", amount="5")
    await faults.clear(fault)
    await faults.hand("alpha", "deposits", asset="USD", amount="7")
    messages = await account_feed.of("balances")
    assert (messages["data"][0]["amount"], messages["data"][0]["balance"]) == (7, 100_012)


async def test_calls_are_limited_as_on_kraken(call: Any, faults: FaultCaller) -> None:
    """A Starter has 15 calls, history costs two; orders are counted apart, each key for itself."""
    fault = await faults.inject("rate_limit", tier="starter")
    costs = ["TradesHistory"] * 6 + ["Balance"] * 6
    errors = [(await call(method))["error"] for method in costs]
    assert errors[:9] == [[]] * 9
    assert errors[-1] == ["EAPI:Rate limit exceeded"]
    assert (await call("AddOrder", **ORDER))["error"] == []
    assert (await call("Balance", "second"))["error"] == []
    await faults.clear(fault)
    assert (await call("Balance"))["error"] == []


async def test_orders_are_limited_as_on_kraken(call: Any, faults: FaultCaller) -> None:
    """Cancelled young orders cost most, for each pair; a cancel itself is never refused."""
    await faults.inject("rate_limit", tier="starter", keys=["alpha"])
    errors: list[list[str]] = []
    while not errors or not errors[-1]:
        answer = await call("AddOrder", **ORDER)
        errors.append(answer["error"])
        if not answer["error"]:
            assert (await call("CancelOrder", txid=answer["result"]["txid"][0]))["error"] == []
    assert errors[-1] == ["EOrder:Rate limit exceeded"]
    # Seven times 1 + 8 are 63, and the counter sinks by 1 a second.
    assert 8 <= len(errors) < 12
    other = ORDER | {"pair": "ETHUSD", "volume": "0.1"}
    assert (await call("AddOrder", **other))["error"] == []


async def test_a_tier_of_the_configuration_is_enforced(
    files: Files, http: aiohttp.ClientSession
) -> None:
    """Without a fault too, when the configuration names a tier."""
    import json  # noqa: PLC0415

    from trading_ops_lab.paper.venue.config import load_config  # noqa: PLC0415

    files.config.write_text(json.dumps(files.values() | {"tier": "pro"}))
    venue = Venue(load_config(files.config))
    await venue.start()
    try:
        errors = []
        for nonce in range(1, 30):
            path, body, headers = files.signed("Balance", nonce, {})
            async with http.post(files.url + path, data=body, headers=headers) as answer:
                errors.append((await answer.json())["error"])
        assert errors[:20] == [[]] * 20
        assert errors[-1] == ["EAPI:Rate limit exceeded"]
    finally:
        await venue.stop()


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ({"kind": "fire"}, "fire"),
        ({"kind": "refuse", "count": 2}, "no count"),
        ({"kind": "maintenance", "probability": 0.5}, "no probability"),
        ({"kind": "wrong_clock", "keys": ["alpha"]}, "affects all clients"),
        ({"kind": "price_jump"}, "needs a pair"),
        ({"kind": "price_jump", "pair": "DOGE/USD"}, "Unknown asset pair"),
        ({"kind": "api_error", "error": "oops"}, "error"),
        ({"kind": "lost_answer", "instead": "oops"}, "instead"),
        ({"kind": "slow", "probability": 0}, "probability"),
        ({"kind": "slow", "color": "red"}, "color"),
    ],
)
async def test_a_senseless_fault_is_refused(
    venue: Venue, faults: FaultCaller, fault: dict[str, Any], problem: str
) -> None:
    """What the venue cannot do it says, and does nothing."""
    status, body = await faults.call("POST", "/faults", json=fault)
    assert status == 422
    assert problem in body["error"]
    assert await gone(faults)
