"""The venue is killed while it is busy: what it acknowledged is there, and the money adds up."""

import asyncio
import itertools
import json
import random
import uuid
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from tests.service.venue.harness import FaultCaller, Files, VenueProcess

pytestmark = pytest.mark.processes

KILLS = 6


class Trader:
    """Places, amends and cancels as fast as it can; remembers what was acknowledged."""

    def __init__(self, files: Files, nonces: "itertools.count[int]", seed: int) -> None:
        self.files, self.nonces, self.dice = files, nonces, random.Random(seed)
        self.placed: dict[str, str] = {}
        self.cancelled: set[str] = set()

    async def run(self) -> None:
        """Go on until the venue dies."""
        try:
            async with aiohttp.ClientSession() as session:
                while True:
                    await self._act(session)
        except (TimeoutError, aiohttp.ClientError, ConnectionError):
            return

    async def _act(self, session: aiohttp.ClientSession) -> None:
        side = self.dice.choice(["buy", "sell"])
        client_id = str(uuid.UUID(int=self.dice.getrandbits(128)))
        order = {"pair": "XBTUSD", "type": side, "volume": "0.001", "cl_ord_id": client_id}
        if self.dice.random() < 0.5:
            order |= {"ordertype": "market"}
        else:
            order |= {"ordertype": "limit", "price": "1000" if side == "buy" else "900000"}
        answer = await self._call(session, "AddOrder", order)
        if answer["error"]:
            return
        order_id = answer["result"]["txid"][0]
        self.placed[client_id] = order_id
        if order["ordertype"] == "limit" and self.dice.random() < 0.8:
            answer = await self._call(session, "CancelOrder", {"txid": order_id})
            assert answer["error"] == []
            self.cancelled.add(order_id)

    async def _call(
        self, session: aiohttp.ClientSession, method: str, fields: dict[str, str]
    ) -> dict[str, Any]:
        path, body, headers = self.files.signed(method, next(self.nonces), fields)
        async with session.post(self.files.url + path, data=body, headers=headers) as answer:
            decoded: dict[str, Any] = await answer.json()
            return decoded


async def pages(files: Files, nonces: "itertools.count[int]", method: str, name: str) -> Any:
    """Return all that a paged method has, by id."""
    found: dict[str, Any] = {}
    async with aiohttp.ClientSession() as session:
        while True:
            fields = {"ofs": len(found), "trades": "true"}
            path, body, headers = files.signed(method, next(nonces), fields)
            async with session.post(files.url + path, data=body, headers=headers) as answer:
                result = (await answer.json())["result"]
            found |= result[name]
            if len(found) >= result.get("count", 0):
                return found


async def test_nothing_acknowledged_is_lost_and_nothing_is_doubled(
    process: VenueProcess, files: Files, faults: FaultCaller
) -> None:
    """After each kill: orders once, cancels kept, money to the digit, no gap in the journal."""
    nonces = itertools.count(1)
    dice = random.Random(11)
    traders = []
    for kill in range(KILLS):
        trader = Trader(files, nonces, kill)
        traders.append(trader)
        running = asyncio.create_task(trader.run())
        await asyncio.sleep(dice.uniform(0.2, 0.8))  # it is to be killed at any moment
        process.kill()
        await running
        process.start()
        opened = await pages(files, nonces, "OpenOrders", "open")
        orders = opened | await pages(files, nonces, "ClosedOrders", "closed")
        names = [order["cl_ord_id"] for order in orders.values()]
        assert len(names) == len(set(names))
        for sent in traders:
            assert sent.placed
            for client_id, order_id in sent.placed.items():
                assert orders[order_id]["cl_ord_id"] == client_id
            for order_id in sent.cancelled:
                assert orders[order_id]["status"] == "canceled"
        await _money_adds_up(files, nonces, faults, orders)
    entries = [json.loads(line) for line in files.journal.read_text().splitlines()]
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    added = [entry["order"] for entry in entries if entry["event"] == "order_added"]
    assert sorted(added) == sorted(orders)


async def _money_adds_up(
    files: Files, nonces: "itertools.count[int]", faults: FaultCaller, orders: dict[str, Any]
) -> None:
    account = await faults.hand("alpha")
    sums: dict[str, Decimal] = {}
    for entry in (await pages(files, nonces, "Ledgers", "ledger")).values():
        moved = Decimal(entry["amount"]) - Decimal(entry["fee"])
        sums[entry["asset"]] = sums.get(entry["asset"], Decimal(0)) + moved
    assert sums == {name: Decimal(amount) for name, amount in account["balances"].items()}
    filled: dict[str, Decimal] = {}
    for trade in (await pages(files, nonces, "TradesHistory", "trades")).values():
        name = trade["ordertxid"]
        filled[name] = filled.get(name, Decimal(0)) + Decimal(trade["vol"])
    done = {name: Decimal(order["vol_exec"]) for name, order in orders.items()}
    assert filled == {name: volume for name, volume in done.items() if volume}
