"""The ledger: every balance change of an account, as Kraken reports it."""

from decimal import Decimal
from typing import Literal

import msgspec

from trading_ops_lab.paper.venue.orders import ZERO, Trade, new_id
from trading_ops_lab.paper.venue.pairs import PAIRS

EntryKind = Literal["trade", "deposit", "withdrawal"]


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One balance change; `balance` is the asset's balance after it.

    The balance changed by `amount` less `fee`.
    """

    id: str
    reference: str
    """The trade or deposit that it belongs to."""

    account: str
    asset: str
    kind: EntryKind
    amount: Decimal
    fee: Decimal
    balance: Decimal
    time: float


def of_trade(trade: Trade, balances: dict[str, Decimal]) -> list[LedgerEntry]:
    """Return the two entries of a trade, with the balances after it."""
    pair = PAIRS[trade.pair]
    sign = 1 if trade.side == "buy" else -1
    movements = (
        (pair.base.id, sign * trade.volume, ZERO),
        (pair.quote.id, -sign * trade.cost, trade.fee),
    )
    return [
        LedgerEntry(
            id=new_id("L"),
            reference=trade.id,
            account=trade.account,
            asset=asset,
            kind="trade",
            amount=amount,
            fee=fee,
            balance=balances[asset],
            time=trade.time,
        )
        for asset, amount, fee in movements
    ]


def of_deposit(
    account: str, asset: str, amount: Decimal, balance: Decimal, time: float
) -> LedgerEntry:
    """Return the entry of a deposit or withdrawal."""
    return LedgerEntry(
        id=new_id("L"),
        reference=new_id("Q"),
        account=account,
        asset=asset,
        kind="deposit" if amount >= 0 else "withdrawal",
        amount=amount,
        fee=ZERO,
        balance=balance,
        time=time,
    )
