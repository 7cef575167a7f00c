"""Client of the paper venue's fault port: injects faults and reads the venue's journal."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from trading_ops.clients.http import Http
from trading_ops.errors import Refused


class _Fault(msgspec.Struct):
    id: str | int


class JournalEntry(msgspec.Struct):
    """One line of the venue's journal, which only the venue writes."""

    seq: int
    time: float
    event: str
    account: str = ""
    """The account; empty if it concerns none."""

    by_nonce: str = ""
    """The nonce of the request that caused it; empty if there was none."""

    client_order_id: str | None = None
    """Client order id; None if there is no order, or it has none."""

    @property
    def nonce(self) -> int:
        """The nonce as a number, 0 if there is none."""
        return int(self.by_nonce) if self.by_nonce.isdecimal() else 0


class _Journal(msgspec.Struct):
    entries: list[JournalEntry]


class VenueFaults:
    """One paper venue."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def inject(self, kind: str, **details: Any) -> str:
        """Start a fault that lasts until it is cleared; return its id.

        Raises:
            Refused: the venue knows no such fault.
            Unreachable: it did not answer.
        """
        answer = await self._http.ask("POST", "/faults", json={"kind": kind, **details})
        if answer.status != 201:  # noqa: PLR2004
            raise Refused(f"fault {kind}: HTTP {answer.status}")
        return str(msgspec.json.decode(answer.body, type=_Fault).id)

    async def clear(self, fault: str) -> None:
        """Clear a fault, if it is still active."""
        await self._http.ask("DELETE", f"/faults/{fault}")

    async def account(self, name: str) -> Mapping[str, Any]:
        """Return the true state of an account: balances, holds, open orders, number of trades."""
        body = await self._http.get(f"/accounts/{name}")
        return msgspec.json.decode(body, type=dict[str, Any])

    async def deposit(
        self, account: str, asset: str, amount: Decimal, *, booked: bool = True
    ) -> None:
        """Add money to an account manually; a negative amount removes it.

        Without a ledger entry the balance changes and nothing in the venue's history explains it.

        Raises:
            Refused: unknown account or asset, or insufficient funds.
            Unreachable: it did not answer.
        """
        wanted = {"asset": asset, "amount": format(amount, "f"), "booked": booked}
        await self._change_account(f"/accounts/{account}/deposits", wanted)

    async def trade(self, account: str, **order: str) -> Mapping[str, Any]:
        """Place an order on an account manually, with the fields of AddOrder; return it.

        Raises:
            Refused: the venue rejected it.
            Unreachable: it did not answer.
        """
        return await self._change_account(f"/accounts/{account}/orders", order)

    async def _change_account(self, path: str, wanted: Mapping[str, object]) -> Mapping[str, Any]:
        answer = await self._http.ask("POST", path, json=dict(wanted))
        if answer.status != 200:  # noqa: PLR2004
            raise Refused(f"{path}: HTTP {answer.status}")
        return msgspec.json.decode(answer.body, type=dict[str, Any])

    async def journal(self, *, since: float) -> list[JournalEntry]:
        """Return the venue's journal entries since a time (seconds since the epoch)."""
        after = 0
        found: list[JournalEntry] = []
        while True:
            params = {"since": str(since), "after": str(after)}
            body = await self._http.get("/journal", params=params)
            entries = msgspec.json.decode(body, type=_Journal).entries
            if not entries:
                return found
            after = entries[-1].seq
            found += entries
