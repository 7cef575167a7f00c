"""The exchange as a whole, stepped by hand: no rule of money may ever break."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_ops.paper.venue.config import KeyFiles, VenueConfig
from trading_ops.paper.venue.crowd import Level
from trading_ops.paper.venue.engine import Engine
from trading_ops.paper.venue.errors import VenueRefusal
from trading_ops.paper.venue.journal import Journal
from trading_ops.paper.venue.market import Market
from trading_ops.paper.venue.orders import NewOrder, Side
from trading_ops.paper.venue.pairs import ASSETS, PAIRS
from trading_ops.paper.venue.prices import Walk, WalkState
from trading_ops.paper.venue.store import Store

NOW = 1_800_000_000.0
CONFIG = VenueConfig(
    address="127.0.0.1:0",
    faults_address="127.0.0.1:0",
    state_dir="",
    seed=7,
    faults_token_file="",
    keys=[KeyFiles("", "", "a"), KeyFiles("", "", "b"), KeyFiles("", "", "a")],
)
PAIR = "XXBTZUSD"


@contextmanager
def exchange(folder: Path) -> Iterator[tuple[Engine, Store]]:
    store = Store(folder / "venue.db")
    journal = Journal(store, folder / "journal.jsonl")
    walk = Walk(CONFIG.seed, ASSETS.values(), WalkState())
    markets = {pair.id: Market(pair, walk, [], NOW) for pair in PAIRS.values()}
    try:
        yield Engine(CONFIG, store, journal, walk, markets), store
        store.commit()
    finally:
        journal.close()
        store.close()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with exchange(tmp_path) as (engine, _store):
        engine.markets[PAIR].book.bids = [Level(Decimal(100), Decimal(1))]
        engine.markets[PAIR].book.asks = [Level(Decimal(110), Decimal(1))]
        yield engine


def limit(side: Side, price: str, volume: str = "0.5", **fields: object) -> NewOrder:
    new = {"pair": PAIR, "side": side, "kind": "limit", **fields}
    return NewOrder(**new, price=Decimal(price), volume=Decimal(volume))  # type: ignore[arg-type]


def test_two_accounts_trade_with_each_other(engine: Engine) -> None:
    """The resting one is the maker at its own price, the other one the taker."""
    resting = engine.add("a", limit("sell", "105"), NOW)
    taker = engine.add("b", limit("buy", "108", "0.2"), NOW + 1)
    assert (taker.status, taker.cost, taker.fee) == ("closed", Decimal(21), Decimal("0.0546"))
    assert (resting.status, resting.cost, resting.fee) == ("open", Decimal(21), Decimal("0.0336"))
    assert resting.remaining == Decimal("0.3")
    assert engine.accounts["a"].balances["ZUSD"] == 100_000 + 21 - Decimal("0.0336")
    assert engine.accounts["b"].balances["XXBT"] == Decimal("1.2")


def test_an_account_never_trades_with_itself(engine: Engine) -> None:
    """The newer order is cancelled where it would meet the older one."""
    older = engine.add("a", limit("sell", "105"), NOW)
    newer = engine.add("a", limit("buy", "120", "0.6"), NOW + 1)
    assert (newer.status, newer.reason, newer.filled) == ("canceled", "self_trade", Decimal(0))
    assert (older.status, older.filled) == ("open", Decimal(0))


def test_the_rest_of_a_market_order_does_not_rest(engine: Engine) -> None:
    """A market order takes what is there; the rest is cancelled."""
    new = NewOrder(pair=PAIR, side="sell", kind="market", volume=Decimal(1))
    engine.markets[PAIR].book.bids = [Level(Decimal(100), Decimal("0.25"))]
    order = engine.add("a", new, NOW)
    assert (order.status, order.reason, order.filled) == ("canceled", "immediate", Decimal("0.25"))
    assert engine.accounts["a"].open == {}


def test_the_crowds_level_is_taken_only_once(engine: Engine) -> None:
    """Between two steps a level gives what it has, to whoever comes first."""
    engine.add("a", limit("buy", "110", "0.7"), NOW)
    second = engine.add("b", limit("buy", "110", "0.7"), NOW)
    assert second.filled == Decimal("0.3")


def test_a_dead_man_switch_takes_only_its_own_account(engine: Engine) -> None:
    """The other account's orders stay."""
    engine.add("a", limit("buy", "90"), NOW)
    engine.add("b", limit("buy", "90"), NOW)
    engine.arm("a", 5, NOW)
    engine.fire_switches(NOW + 4.9)
    assert len(engine.accounts["a"].open) == 1
    engine.fire_switches(NOW + 5)
    assert engine.accounts["a"].open == {}
    assert len(engine.accounts["b"].open) == 1


def test_a_closed_minute_is_stored(tmp_path: Path) -> None:
    """When a minute is over its candle is there for the next start."""
    with exchange(tmp_path) as (engine, store):
        engine.step(NOW)
        assert store.candles(PAIR) == []
        engine.step(NOW + 60)
        (candle,) = store.candles(PAIR)
        assert candle == engine.markets[PAIR].candles.closed[-1]
        assert candle.count == 1


ORDERS = st.builds(
    lambda account, side, kind, size, offset, flag: (account, side, kind, size, offset, flag),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["buy", "sell"]),
    st.sampled_from(["limit", "limit", "market"]),
    st.decimals("0.0001", "1.5", places=8),
    st.integers(-40, 40),
    st.sampled_from(["GTC", "IOC"]),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(ORDERS, st.just("step"), st.just("cancel")), max_size=40))
def test_money_is_never_made_lost_or_overdrawn(actions: list[object]) -> None:
    """Whatever comes: trades explain every balance, and none is ever below zero."""
    with TemporaryDirectory() as folder, exchange(Path(folder)) as (engine, store):
        now = NOW
        for action in actions:
            now += 1
            if action == "step":
                engine.step(now)
            elif action == "cancel":
                engine.cancel("a", engine.find("a"), "cancel_all", now)
            elif isinstance(action, tuple):
                _place(engine, action, now)
            check(engine, store)


def _place(engine: Engine, action: tuple[object, ...], now: float) -> None:
    account, side, kind, size, offset, time_in_force = action
    middle = engine.markets[PAIR].last.price
    new = {"side": side, "kind": kind, "volume": size, "time_in_force": time_in_force}
    price = middle + 5 * Decimal(str(offset)) if kind == "limit" else None
    # A refusal is one of the answers; that it changed nothing is checked like everything else.
    with suppress(VenueRefusal):
        engine.add(str(account), NewOrder(pair=PAIR, price=price, **new), now)  # type: ignore[arg-type]


def check(engine: Engine, store: Store) -> None:
    for name, account in engine.accounts.items():
        expected = dict(CONFIG.funds)
        trades, count = store.trades(name, 0, 1e18, 0, 10_000)
        assert count == len(trades)
        for trade in trades:
            sign = 1 if trade.side == "buy" else -1
            expected["XXBT"] += sign * trade.volume
            expected["ZUSD"] -= sign * trade.cost + trade.fee
        assert account.balances == expected == store.balances(name)
        assert all(amount >= 0 for amount in account.balances.values())
        assert all(account.available(asset, engine.fees) >= 0 for asset in account.balances)
        for order in account.open.values():
            parts = [trade for trade in trades if trade.order == order.id]
            assert order.status == "open"
            assert sum(trade.volume for trade in parts) == order.filled < order.volume
            assert sum(trade.cost for trade in parts) == order.cost
            assert sum(trade.fee for trade in parts) == order.fee
            assert store.order(name, order.id) == order
