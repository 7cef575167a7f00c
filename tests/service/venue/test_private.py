"""The private border: who is let in, and what is refused."""

import asyncio
import json
from http.client import HTTPConnection
from typing import Any

import aiohttp
import pytest

from tests.service.venue.harness import FaultCaller, Files
from trading_ops_lab.paper.venue.venue import Venue

pytestmark = pytest.mark.processes

ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01", "price": "1000"}


async def send(http: aiohttp.ClientSession, files: Files, nonce: int, **headers: str) -> list[str]:
    path, body, signed = files.signed("Balance", nonce, {})
    async with http.post(files.url + path, data=body, headers=signed | headers) as answer:
        errors: list[str] = (await answer.json())["error"]
        return errors


async def raw_errors(files: Files, path: str, body: bytes, headers: dict[str, str]) -> list[str]:
    """Send a call whose headers go out as Latin-1, which aiohttp's client does not do."""

    def post() -> list[str]:
        host, _, port = files.rest.rpartition(":")
        connection = HTTPConnection(host, int(port), timeout=5)
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        assert answer.status == 200, content
        errors: list[str] = json.loads(content)["error"]
        return errors

    return await asyncio.to_thread(post)


async def test_a_nonce_works_only_once(
    venue: Venue, files: Files, http: aiohttp.ClientSession, faults: FaultCaller
) -> None:
    """The same nonce again, or a lower one, is refused, and the journal tells."""
    assert await send(http, files, 10) == []
    assert await send(http, files, 10) == ["EAPI:Invalid nonce"]
    assert await send(http, files, 9) == ["EAPI:Invalid nonce"]
    assert await send(http, files, 11) == []
    refused = await faults.journal("private_refused")
    assert [entry["error"] for entry in refused] == ["EAPI:Invalid nonce"] * 2


async def test_a_wrong_key_or_signature_is_refused(
    venue: Venue, files: Files, http: aiohttp.ClientSession
) -> None:
    """Neither an unknown key nor a wrong signature gets in, nor do they use up a nonce."""
    wrong = {"API-Sign": files.signed("Balance", 6, {})[2]["API-Sign"]}
    assert await send(http, files, 5, **{"API-Key": "stranger"}) == ["EAPI:Invalid key"]
    assert await send(http, files, 5, **wrong) == ["EAPI:Invalid signature"]
    assert await send(http, files, 5) == []


@pytest.mark.parametrize(
    ("header", "errors"),
    [
        ("API-Sign", ["EAPI:Invalid signature"]),
        ("API-Key", ["EAPI:Invalid key"]),
        ("Cookie", []),
    ],
)
async def test_a_header_that_is_no_text_is_a_wrong_one(
    venue: Venue, files: Files, http: aiohttp.ClientSession, header: str, errors: list[str]
) -> None:
    """Bytes that are no UTF-8 are wrong like any others, and the venue continues."""
    path, body, headers = files.signed("Balance", 5, {})
    value = "__cf_bm=\xff-\xfe" if header == "Cookie" else "\xff\xfe"
    assert await raw_errors(files, path, body, headers | {header: value}) == errors
    assert await send(http, files, 6) == []


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"pair": "DOGEUSD"}, "EQuery:Unknown asset pair"),
        ({"type": "hold"}, "EGeneral:Invalid arguments:type"),
        ({"ordertype": "trailing-stop"}, "EGeneral:Invalid arguments:ordertype"),
        ({"ordertype": "stop-loss-limit"}, "EGeneral:Invalid arguments:price2"),
        ({"ordertype": "stop-loss", "trigger": "index"}, "EGeneral:Invalid arguments:trigger"),
        ({"ordertype": "stop-loss", "timeinforce": "IOC"}, "EGeneral:Invalid arguments:timein"),
        ({"reduce_only": "true"}, "EGeneral:Invalid arguments:reduce_only"),
        ({"volume": "-1"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "NaN"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "0.000000001"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "1e30"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "much"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "0.00001"}, "EOrder:Order minimum not met"),
        ({"price": "1"}, "EOrder:Cost minimum not met"),
        ({"price": "0"}, "EGeneral:Invalid arguments:price"),
        ({"price": "1000.12"}, "EOrder:Invalid price:XBT/USD price can only be specified"),
        ({"volume": "999999999", "price": "99999999"}, "EOrder:Insufficient funds"),
        ({"type": "sell", "volume": "2", "price": "90000"}, "EOrder:Insufficient funds"),
        ({"price": "900000", "oflags": "post"}, "EOrder:Post only order"),
        ({"oflags": "viqc"}, "EGeneral:Invalid arguments:oflags"),
        ({"oflags": "fcib"}, "EGeneral:Invalid arguments:oflags"),
        ({"leverage": "5"}, "EGeneral:Invalid arguments:leverage"),
        ({"timeinforce": "GTD"}, "EGeneral:Invalid arguments:timeinforce"),
        ({"timeinforce": "FOK"}, "EOrder:Fill or kill order could not be filled"),
        ({"userref": "many"}, "EGeneral:Invalid arguments:userref"),
        ({"cl_ord_id": "a", "userref": "1"}, "EGeneral:Invalid arguments:cl_ord_id"),
        ({"cl_ord_id": "a" * 19}, "EGeneral:Invalid arguments:cl_ord_id"),
        ({"cl_ord_id": "a b"}, "EGeneral:Invalid arguments:cl_ord_id"),
        ({"cl_ord_id": "g" * 32}, "EGeneral:Invalid arguments:cl_ord_id"),
    ],
)
async def test_an_invalid_order_is_refused_with_krakens_error(
    call: Any, venue: Venue, change: dict[str, str], error: str
) -> None:
    """Nothing is guessed: what is wrong is named, and no order is there."""
    answer = await call("AddOrder", **{**ORDER, **change})
    assert answer["error"][0].startswith(error)
    assert venue.engine.accounts["alpha"].open == {}


@pytest.mark.parametrize(
    ("method", "fields", "error"),
    [
        ("Withdraw", {}, "EGeneral:Unknown method"),
        ("CancelOrder", {"txid": "OAAAAA-AAAAA-AAAAAA"}, "EOrder:Unknown order"),
        ("CancelOrder", {"txid": "٣"}, "EOrder:Unknown order"),
        ("CancelOrderBatch", {}, "EGeneral:Invalid arguments:orders"),
        ("CancelAllOrdersAfter", {}, "EGeneral:Invalid arguments:timeout"),
        ("CancelAllOrdersAfter", {"timeout": "86401"}, "EGeneral:Invalid arguments:timeout"),
        ("CancelAllOrdersAfter", {"timeout": "-1"}, "EGeneral:Invalid arguments:timeout"),
        ("ClosedOrders", {"start": "soon"}, "EGeneral:Invalid arguments:start"),
        ("ClosedOrders", {"ofs": "nan"}, "EGeneral:Invalid arguments:ofs"),
        ("TradesHistory", {"end": "inf"}, "EGeneral:Invalid arguments:end"),
    ],
)
async def test_a_wrong_call_is_refused(
    call: Any, method: str, fields: dict[str, str], error: str
) -> None:
    """Methods that are not there and fields that make no sense get a clear no."""
    assert (await call(method, **fields))["error"] == [error]


async def test_an_order_can_be_tried_without_placing_it(call: Any, venue: Venue) -> None:
    """With `validate` the venue only says what it would do."""
    answer = await call("AddOrder", **ORDER, validate="true")
    assert answer["result"] == {"descr": {"order": "buy 0.01000000 XBTUSD @ limit 1000.0"}}
    assert venue.engine.accounts["alpha"].open == {}


async def test_an_immediate_order_does_not_rest(call: Any) -> None:
    """What an IOC order does not get at once is cancelled."""
    answer = await call("AddOrder", **ORDER, timeinforce="IOC")
    order_id = answer["result"]["txid"][0]
    order = (await call("QueryOrders", txid=order_id))["result"][order_id]
    assert (order["status"], order["vol_exec"]) == ("canceled", "0.00000000")


async def test_what_an_account_is_worth(call: Any) -> None:
    """Balances, worth, fees, positions and a WebSocket token can be asked for."""
    assert (await call("Balance"))["result"]["ZUSD"] == "100000.0000"
    worth = float((await call("TradeBalance"))["result"]["eb"])
    assert worth == pytest.approx(100_000 + 60_000 + 30_000 + 15_000, rel=0.3)
    assert (await call("OpenPositions"))["result"] == {}
    assert (await call("GetWebSocketsToken"))["result"]["expires"] == 900
    assert set((await call("TradeVolume", pair="ETHUSD"))["result"]["fees"]) == {"XETHZUSD"}


async def test_history_comes_in_pages(call: Any) -> None:
    """Trades and closed orders are counted whole and shown from an offset, newest first."""
    market = {"pair": "SOL/USD", "type": "buy", "ordertype": "market", "volume": "0.05"}
    ids = [(await call("AddOrder", **market))["result"]["txid"][0] for _ in range(3)]
    closed = (await call("ClosedOrders", ofs="1", trades="true"))["result"]
    assert closed["count"] == 3
    assert list(closed["closed"]) == [ids[1], ids[0]]
    trades = (await call("TradesHistory", ofs="2"))["result"]
    assert trades["count"] == 3
    (trade,) = trades["trades"].values()
    assert trade["ordertxid"] == ids[0]
    assert (await call("TradesHistory", start="99999999999"))["result"]["count"] == 0


async def test_a_private_method_wants_a_readable_body(
    venue: Venue, files: Files, http: aiohttp.ClientSession
) -> None:
    """Bytes that are neither a form nor JSON are refused."""
    url = f"{files.url}/0/private/Balance"
    for content_type in ("application/json", "application/x-www-form-urlencoded"):
        async with http.post(
            url, data=b"\xff\xfe", headers={"Content-Type": content_type}
        ) as answer:
            assert (await answer.json())["error"] == ["EGeneral:Invalid arguments"]


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/0/public/Ticker?pair=NOPE", "EQuery:Unknown asset pair"),
        ("/0/public/OHLC?pair=XBTUSD&interval=7", "EGeneral:Invalid arguments"),
        ("/0/public/Depth?pair=XBTUSD&count=1e999999999", "EGeneral:Invalid arguments:count"),
        ("/0/public/Spread?pair=XBTUSD", "EGeneral:Unknown method"),
    ],
)
async def test_a_wrong_public_question_is_refused(
    venue: Venue, files: Files, http: aiohttp.ClientSession, path: str, error: str
) -> None:
    """Public methods refuse in Kraken's words too."""
    async with http.get(files.url + path) as answer:
        assert (await answer.json())["error"] == [error]


async def test_a_bug_stops_the_venue(files: Files, http: aiohttp.ClientSession) -> None:
    """When memory may differ from the file the venue ends, to start again from the file."""
    from trading_ops_lab.paper.venue.config import load_config  # noqa: PLC0415

    venue = Venue(load_config(files.config))
    await venue.start()
    try:
        del venue.engine.accounts["alpha"].balances["ZUSD"]
        venue.engine.accounts["alpha"].balances["XXXX"] = venue.engine.fees.maker
        path, body, headers = files.signed("Balance", 1, {})
        async with http.post(files.url + path, data=body, headers=headers) as answer:
            assert answer.status == 500
        assert venue.failed.is_set()
    finally:
        await venue.stop()
