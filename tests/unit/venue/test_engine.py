"""The exchange as a whole, stepped manually: no rule of money may ever break."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.unit.venue.exchange import NOW, PAIR, exchange, limit
from trading_ops_lab.paper.venue.engine import Engine
from trading_ops_lab.paper.venue.orders import NewOrder
from trading_ops_lab.paper.venue.other_traders import Level


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with exchange(tmp_path) as (engine, _store):
        engine.markets[PAIR].book.bids = [Level(Decimal(100), Decimal(1))]
        engine.markets[PAIR].book.asks = [Level(Decimal(110), Decimal(1))]
        yield engine


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
    """Between two steps a level gives what it has, to anyone who comes first."""
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


def test_a_state_from_before_the_ledger_is_taken_over(tmp_path: Path) -> None:
    """Its money becomes the ledger's first entries, once, and nothing is given again."""
    with exchange(tmp_path) as (engine, store):
        engine.deposit("a", "ZUSD", Decimal(5), NOW)
        store.connection.execute("DELETE FROM ledger")
        store.connection.execute("DELETE FROM candles WHERE pair = 'XETHXXBT'")
    for _ in range(2):
        with exchange(tmp_path) as (engine, store):
            entries, count = store.ledger("a", 0, 1e18, 0, 50)
            amounts = {entry.asset: entry.amount for entry in entries}
            assert amounts == engine.accounts["a"].balances
            assert count == 4
            assert amounts["ZUSD"] == 100_005
