"""What botkit reports to the reconciler: trades, signals, risk decisions, orders without a fill."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.rules.configuration import ROOT
from tests.service.botkit.conftest import SYMBOL
from tests.service.botkit.orders import half_of, order_of, signal_of
from trading_ops import clock
from trading_ops.agent import EventJournal, Side
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.orders.events import DENIED, REPEATED, journal_event, repeat_events
from trading_ops.botkit.orders.order import OrderStatus, OrderType, Purpose
from trading_ops.botkit.records.driver import ThreadedDatabase
from trading_ops.botkit.records.events import DECISION_PRICE, LEASE_ACQUIRED, Event, EventLogKind
from trading_ops.botkit.records.sqlite import SqliteDriver
from trading_ops.botkit.records.store import Store
from trading_ops.instrument import BotMetrics


@pytest.fixture
def journal(tmp_path: Path) -> EventJournal:
    return EventJournal(path=tmp_path / "events.sqlite")


@pytest.fixture
async def store(metrics: BotMetrics, tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(metrics, lambda: ThreadedDatabase(SqliteDriver(tmp_path / "bot.db")))
    running = asyncio.create_task(store.run())
    yield store
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await store.close()


async def book_of(store: Store, metrics: BotMetrics, journal: EventJournal) -> Book:
    book = Book("alpha", metrics, store)
    book.restore(await store.load())
    book.on_event = partial(journal_event, journal)
    return book


def reported(journal: EventJournal) -> list[dict[str, Any]]:
    journal.open()
    journal.close(within_seconds=60)
    return journal.read(0)


def ids(event: dict[str, Any]) -> tuple[str, ...]:
    return tuple(event[name] for name in ("kind", "strategy", "order", "correlation"))


async def test_one_correlation_id_from_signal_to_trade(
    store: Store, metrics: BotMetrics, journal: EventJournal
) -> None:
    """Also for what happens to the order after a restart of the bot."""
    order = order_of("o-1")
    book = await book_of(store, metrics, journal)
    await book.add(order, signal_of(order))
    book = await book_of(store, metrics, journal)
    await book.update(order, half_of(order))
    assert [ids(reported_event) for reported_event in reported(journal)] == [
        ("signal", "sma", "o-1", "s-1"),
        ("order", "sma", "o-1", "s-1"),
        ("trade", "sma", "o-1", "s-1"),
    ]


async def test_orders_without_a_fill_and_risk_decisions(
    store: Store, metrics: BotMetrics, journal: EventJournal
) -> None:
    """A fill needs no event of the order; a breach that halts is critical."""
    book = await book_of(store, metrics, journal)
    await book.add(order_of("o-1"))
    await book.finish(order_of("o-1"), OrderStatus.REJECTED, "no funds")
    breach = {"limit": "daily_loss", "reason": "daily_loss: 120 USD", "state": "halted"}
    denial = {"outcome": DENIED, "side": "buy", "quantity": "1", "why": "too old a price"}
    await book.record_events(
        Event(at=1.0, kind=EventLogKind.RISK, code="breach", detail=breach),
        Event(at=2.0, kind=EventLogKind.ORDER, code="price_age", symbol=SYMBOL, detail=denial),
    )
    found = reported(journal)
    assert [(event["kind"], event["severity"], event["summary"]) for event in found] == [
        ("order", "info", "rejected: buy 1 BTC/USD no funds"),
        ("risk", "critical", "breach: daily_loss: 120 USD"),
        ("order", "info", "price_age: buy 1 BTC/USD too old a price"),
    ]
    assert found[0]["correlation"] == "o-1"


async def test_an_event_is_reported_when_the_book_is_up_to_date(
    store: Store, metrics: BotMetrics, journal: EventJournal
) -> None:
    """What reacts to a fill sees the position that it made, and no open order."""
    book = await book_of(store, metrics, journal)
    order, seen = order_of("o-1"), list[tuple[Decimal, int]]()

    def react(event: Event) -> None:
        if event.kind is EventLogKind.TRADE:
            seen.append((book.positions[SYMBOL].quantity, len(book.open_orders())))

    book.on_event = react
    await book.add(order)
    await book.update(order, half_of(order))
    assert seen == [(Decimal("0.5"), 0)]


async def test_a_repeated_event_is_ignored(
    store: Store, metrics: BotMetrics, journal: EventJournal
) -> None:
    """A bot reports its latest events again at each start."""
    order = order_of("o-1")
    book = await book_of(store, metrics, journal)
    signal = signal_of(order)
    await book.add(order, signal)
    journal_event(journal, signal)
    assert len(reported(journal)) == 1


async def test_a_report_that_fails_does_not_fail_the_order(
    store: Store, metrics: BotMetrics, journal: EventJournal
) -> None:
    book = await book_of(store, metrics, journal)
    detail = {"source": "sma", "signal": "s-1", "why": "x" * 5_000}
    long = Event(at=1.0, kind=EventLogKind.SIGNAL, code="ordered", detail=detail)
    await book.add(order_of("o-1"), long)
    assert [order.client_id for order in book.open_orders()] == ["o-1"]
    assert reported(journal) == []


async def test_a_restart_is_reported_with_what_it_corrected(
    store: Store, metrics: BotMetrics, journal: EventJournal
) -> None:
    """The first start of a bot is none."""
    book = await book_of(store, metrics, journal)
    missed = {"cause": "missed_fill", "remedy": "correct", "subject": "o-1", "detail": "0.5 filled"}
    foreign = {"cause": "foreign", "remedy": "leave", "subject": "o-9", "detail": "not ours"}
    first: dict[str, Any] = {"found": [], "count": 0, "away_seconds": None, "took_seconds": 0.1}
    quiet = first | {"away_seconds": 3.0}
    changed = {"found": [missed, foreign], "count": 2, "away_seconds": 12.0, "took_seconds": 0.8}
    await book.record_events(
        *(
            Event(at=float(at), kind=EventLogKind.RECOVERY, code="recovered", detail=detail)
            for at, detail in enumerate((first, quiet, changed))
        )
    )
    found = reported(journal)
    assert [(event["kind"], event["severity"]) for event in found] == [
        ("system", "info"),
        ("system", "warning"),
    ]
    assert found[1]["data"]["corrected"] == "missed_fill o-1: 0.5 filled"
    assert found[1]["data"]["still_open"] == "foreign o-9: not ours"
    assert found[1]["data"]["away_seconds"] == "12.0"


async def test_a_restart_with_a_thousand_differences_fits_into_an_event(
    store: Store, metrics: BotMetrics, journal: EventJournal
) -> None:
    book = await book_of(store, metrics, journal)
    discrepancy = {
        "cause": "missed_fill",
        "remedy": "correct",
        "subject": "o" * 90,
        "detail": "x" * 500,
    }
    detail = {
        "found": [discrepancy] * 200,
        "count": 1_000,
        "away_seconds": 12.0,
        "took_seconds": 0.8,
    }
    await book.record_events(
        Event(at=1.0, kind=EventLogKind.RECOVERY, code="recovered", detail=detail)
    )
    assert "1000 differences" in reported(journal)[0]["summary"]


async def test_a_trade_survives_a_kill_between_records_and_journal(
    tmp_path: Path, journal: EventJournal
) -> None:
    """It is in the journal once, whatever the number of starts, with its signal."""
    killed = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.service.botkit.killed_book", str(tmp_path), cwd=ROOT
    )
    assert await killed.wait() == -signal.SIGKILL
    assert kinds(journal) == ["signal"]
    records = ThreadedDatabase(SqliteDriver(tmp_path / "bot.db"))
    for _ in range(2):
        await repeat_events(records, journal)
        assert kinds(journal) == ["signal", "order", "trade"]
    await records.close()
    assert {event["correlation"] for event in journal.read(0)} == {"s-1"}


def kinds(journal: EventJournal) -> list[str]:
    return [event["kind"] for event in reported(journal)]


BEGIN = clock.timestamp() - 3600.0
"""Young enough to be kept."""


def trade(minute: float) -> Event:
    detail = {"trade": f"t-{minute:g}", "side": "buy", "fill": "1", "cost": "1000", "fee": "1"}
    at = BEGIN + minute
    return Event(at=at, kind=EventLogKind.TRADE, code="fill", symbol=SYMBOL, detail=detail)


def lease(minute: float, instance: str) -> Event:
    detail = {"holder": f"{instance}@host-1-abc", "token": int(minute)}
    at = BEGIN + minute
    return Event(at=at, kind=EventLogKind.RECOVERY, code=LEASE_ACQUIRED, detail=detail)


async def repeated(store: Store, journal: EventJournal, instance: str | None = None) -> list[str]:
    await repeat_events(store, journal, instance=instance)
    return [event["id"] for event in reported(journal) if event["kind"] == "trade"]


async def test_many_trades_do_not_push_out_other_events(
    store: Store, metrics: BotMetrics, journal: EventJournal
) -> None:
    """Of each kind the newest are repeated, in the order in which they happened."""
    book = await book_of(store, metrics, journal)
    book.on_event = lambda _event: None
    await book.record_events(signal_of(order_of("o-1")))
    await book.record_events(*(trade(minute) for minute in range(REPEATED + 5)))
    assert await repeated(store, journal) == [f"t-{n}" for n in range(5, REPEATED + 5)]
    assert [event["kind"] for event in journal.read(REPEATED)] == ["signal"]


async def test_an_instance_repeats_only_what_happened_while_it_led(
    store: Store, metrics: BotMetrics, journal: EventJournal
) -> None:
    """Each reports under its own name: repeated by both, a trade would count twice."""
    book = await book_of(store, metrics, journal)
    book.on_event = lambda _event: None
    first, second, third = lease(1, "alpha"), lease(2, "alpha-b"), lease(3, "alpha")
    await book.record_events(trade(0), first, trade(1.5), second, trade(2.5), third, trade(3.5))
    assert await repeated(store, journal, "alpha") == ["t-1.5", "t-3.5"]


async def test_records_that_cannot_be_read_do_not_stop_the_start(
    metrics: BotMetrics, journal: EventJournal, tmp_path: Path
) -> None:
    store = Store(metrics, lambda: ThreadedDatabase(SqliteDriver(tmp_path / "bot.db")))
    await store.close()
    await repeat_events(store, journal)
    assert reported(journal) == []


STOP = {"type": OrderType.STOP_LOSS, "stop_price": Decimal(1100), "side": Side.SELL}


@pytest.mark.parametrize(
    ("over", "decided", "slippage"),
    [
        ({"type": OrderType.MARKET}, None, "10"),
        ({"type": OrderType.MARKET, "side": Side.SELL}, None, "-10"),
        ({"type": OrderType.MARKET}, "1010", "5"),
        ({}, "1030", "-5"),
        (STOP, None, "40"),
        ({}, None, None),
        ({"type": OrderType.MARKET, "purpose": Purpose.ADOPTED}, None, None),
        ({"type": OrderType.MARKET, "price": Decimal(0)}, None, None),
    ],
)
async def test_slippage_is_against_the_price_at_the_decision(
    store: Store,
    metrics: BotMetrics,
    journal: EventJournal,
    over: dict[str, Any],
    decided: str | None,
    slippage: str | None,
) -> None:
    """Half of it was filled at 1,020; what the order's own price is worth depends on its type."""
    order = replace(order_of("o-1"), **over)
    signal_event = signal_of(order)
    if decided is not None:
        signal_event.detail[DECISION_PRICE] = decided
    book = await book_of(store, metrics, journal)
    await book.add(order, signal_event)
    book = await book_of(store, metrics, journal)
    await book.update(order, replace(half_of(order), cost=Decimal(510)))
    (data,) = [event["data"] for event in reported(journal) if event["kind"] == "trade"]
    assert data.get("slippage") == slippage
