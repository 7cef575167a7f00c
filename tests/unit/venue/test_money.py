"""Money is never made, lost or overdrawn, whatever comes: random actions, checked to the digit."""

from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.venue.exchange import NOW, PAIR, exchange
from trading_ops_lab.paper.venue.amending import Change
from trading_ops_lab.paper.venue.engine import ANY_CALLER, Engine
from trading_ops_lab.paper.venue.errors import VenueRefusal
from trading_ops_lab.paper.venue.faults import FaultBoard, FaultRequest
from trading_ops_lab.paper.venue.ledger import LedgerEntry
from trading_ops_lab.paper.venue.orders import NewOrder
from trading_ops_lab.paper.venue.other_traders import Level
from trading_ops_lab.paper.venue.pairs import PAIRS
from trading_ops_lab.paper.venue.store import Store

ACCOUNTS = ("a", "b")
Action = Callable[[Engine, float], None]


def _price(engine: Engine, pair: str, offset: int) -> Decimal:
    last = engine.markets[pair].last.price
    return round(last * (1 + Decimal(offset) / 1000), PAIRS[pair].price_decimals)


def _order(values: dict[str, Any]) -> Action:
    def act(engine: Engine, now: float) -> None:
        kind, pair = values["kind"], values["pair"]
        new = NewOrder(
            pair=pair,
            side=values["side"],
            kind=kind,
            volume=values["volume"],
            price=_price(engine, pair, values["offset"]) if "limit" in kind else None,
            trigger_price=_price(engine, pair, values["trigger"]) if "-" in kind else None,
            time_in_force=values["time"] if "-" not in kind else "GTC",
        )
        engine.add(values["account"], new, now)

    return act


def _amend(account: str, volume: Decimal, offset: int) -> Action:
    def act(engine: Engine, now: float) -> None:
        for order in engine.find(account)[:1]:
            price = _price(engine, order.pair, offset) if order.price is not None else None
            engine.amend(account, order, Change(volume=volume, price=price), now, ANY_CALLER)

    return act


def _cancel(account: str) -> Action:
    def act(engine: Engine, now: float) -> None:
        engine.cancel(account, engine.find(account)[:1], "client", now)

    return act


def _deposit(account: str, asset: str, amount: Decimal) -> Action:
    def act(engine: Engine, now: float) -> None:
        engine.deposit(account, asset, amount, now)

    return act


def _step(engine: Engine, now: float) -> None:
    engine.step(now)


VOLUMES = st.one_of(st.decimals("0.2", "0.9", places=8), st.decimals("0.0001", "0.01", places=8))
KINDS = ["limit", "limit", "market", "stop-loss", "stop-loss-limit", "take-profit"]
ORDERS = st.fixed_dictionaries(
    {
        "account": st.sampled_from(ACCOUNTS),
        "pair": st.sampled_from([PAIR, PAIR, "XETHXXBT"]),
        "side": st.sampled_from(["buy", "sell"]),
        "kind": st.sampled_from(KINDS),
        "volume": VOLUMES,
        "offset": st.integers(-2, 2),
        "trigger": st.integers(-1, 1),
        "time": st.sampled_from(["GTC", "GTC", "IOC"]),
    }
).map(_order)
ACTIONS = st.one_of(
    ORDERS,
    ORDERS,
    st.just(_step),
    st.builds(_amend, st.sampled_from(ACCOUNTS), VOLUMES, st.integers(-5, 5)),
    st.builds(_cancel, st.sampled_from(ACCOUNTS)),
    st.builds(
        _deposit,
        st.sampled_from(ACCOUNTS),
        st.sampled_from(["ZUSD", "XXBT"]),
        st.sampled_from(["-70000", "-9000.0001", "-0.31", "0.0001", "1.5", "3000"]).map(Decimal),
    ),
)


@pytest.mark.parametrize("faulty", [False, True])
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ACTIONS, min_size=20, max_size=60))
def test_every_balance_is_explained(faulty: bool, actions: list[Action]) -> None:
    """Deposits and trades are the balances, with orders cut short by a fault or without."""
    board = FaultBoard()
    if faulty:
        fault = FaultRequest(kind="partial_cancel", probability=0.5, share=0.3)
        context: dict[str, Any] = {"now": NOW, "last_session": 0, "connections": frozenset()}
        board.inject(fault, fault_id="f", **context)
    with TemporaryDirectory() as folder, exchange(Path(folder), board) as (engine, store):
        for number, act in enumerate(actions):
            # A refusal is one of the answers; that it changed nothing is checked like all else.
            with suppress(VenueRefusal):
                act(engine, NOW + number)
            check(engine, store)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ACTIONS, min_size=20, max_size=60))
def test_what_there_is_and_what_was_paid_is_what_was_given(actions: list[Action]) -> None:
    """Without a crowd: all balances and all fees are all deposits, for each asset."""
    with TemporaryDirectory() as folder, exchange(Path(folder)) as (engine, store):
        for market in engine.markets.values():
            market.book.bids = market.book.asks = [Level(market.last.price, Decimal(0))]
        for number, act in enumerate(actions):
            if act is not _step:
                with suppress(VenueRefusal):
                    act(engine, NOW + number)
        there: dict[str, Decimal] = {}
        given: dict[str, Decimal] = {}
        for name, account in engine.accounts.items():
            for asset, amount in account.balances.items():
                there[asset] = there.get(asset, Decimal(0)) + amount
            for entry in everything(store, name):
                there[entry.asset] += entry.fee
                if entry.kind != "trade":
                    given[entry.asset] = given.get(entry.asset, Decimal(0)) + entry.amount
        assert there == given


def everything(store: Store, account: str, asset: str = "") -> list[LedgerEntry]:
    entries, count = store.ledger(account, 0, 1e18, 0, 10_000, asset=asset)
    assert count == len(entries)
    return entries


def check(engine: Engine, store: Store) -> None:
    for name, account in engine.accounts.items():
        expected: dict[str, Decimal] = {}
        for entry in reversed(everything(store, name)):
            if entry.kind != "trade":
                expected[entry.asset] = expected.get(entry.asset, Decimal(0)) + entry.amount
        trades, count = store.trades(name, 0, 1e18, 0, 10_000)
        assert count == len(trades)
        for trade in trades:
            pair, sign = PAIRS[trade.pair], 1 if trade.side == "buy" else -1
            expected[pair.base.id] += sign * trade.volume
            expected[pair.quote.id] -= sign * trade.cost + trade.fee
        assert account.balances == expected == store.balances(name)
        assert all(amount >= 0 for amount in account.balances.values())
        for asset in account.balances:
            assert account.held(asset, engine.fees) >= 0
            assert account.available(asset, engine.fees) >= 0
            newest = everything(store, name, asset)[0]
            assert newest.balance == account.balances[asset]
        for order in account.open.values():
            parts = [trade for trade in trades if trade.order == order.id]
            assert order.status == "open"
            assert sum(trade.volume for trade in parts) == order.filled < order.volume
            assert sum(trade.cost for trade in parts) == order.cost
            assert sum(trade.fee for trade in parts) == order.fee
            assert store.order(name, order.id) == order
