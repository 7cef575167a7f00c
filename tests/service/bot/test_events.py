"""Events: kept within bounds, printed as readable text, without secrets."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.service.botkit.conftest import SYMBOL
from trading_ops import clock, redaction
from trading_ops.botkit.records import events
from trading_ops.botkit.records.driver import ThreadedDatabase
from trading_ops.botkit.records.events import (
    Event,
    EventLogKind,
    EventRetention,
    add_events,
    latest_events,
    prune_events,
)
from trading_ops.botkit.records.orders import Change
from trading_ops.botkit.records.sql import Session
from trading_ops.botkit.records.sqlite import SqliteDriver
from trading_ops.botkit.records.store import Store
from trading_ops.errors import StoreError
from trading_ops.instrument import BotMetrics

pytestmark = pytest.mark.processes

DAY = 86_400.0
BEGIN = 1_750_000_000.0


def event(at: float, kind: EventLogKind = EventLogKind.ORDER, **detail: object) -> Event:
    return Event(at=at, kind=kind, code="c", symbol=SYMBOL, order_id="o", detail=dict(detail))


def number_of(session: Session) -> int:
    row = session.execute("SELECT count(*) FROM events").one()
    return int(row[0]) if row else -1


@settings(max_examples=40, deadline=None)
@given(
    days=st.lists(st.tuples(st.integers(0, 60), st.floats(0, 20)), max_size=30),
    kept_days=st.integers(1, 90),
    kept_number=st.integers(1, 200),
)
def test_the_table_is_bounded_by_age_and_number(
    tmp_path_factory: pytest.TempPathFactory,
    days: list[tuple[int, float]],
    kept_days: int,
    kept_number: int,
) -> None:
    """After each look exactly the newest are there: young ones, and not too many."""
    driver = SqliteDriver(tmp_path_factory.mktemp("records") / "bot.db")
    driver.open()
    retention = EventRetention(kept_seconds=kept_days * DAY, kept_number=kept_number)
    now = BEGIN
    ever: list[Event] = []
    for number, later in days:
        now += later * DAY
        new = [event(now, n=len(ever) + index) for index in range(number)]
        ever += new

        def look(session: Session, new: list[Event] = new, now: float = now) -> list[Event]:
            add_events(session, new)
            assert not prune_events(session, now, retention)
            return latest_events(session, kind=None, number=10_000)

        young = [event for event in ever if event.at >= now - kept_days * DAY][-kept_number:]
        assert driver.transact(look)[::-1] == young
    driver.close()


async def test_a_wild_bot_does_not_fill_the_disk(metrics: BotMetrics, tmp_path: Path) -> None:
    """Within one hour, in which nothing is old: the number alone bounds the table."""
    retention = EventRetention(kept_number=300, prune_after=100)
    path = tmp_path / "bot.db"
    store = Store(metrics, lambda: ThreadedDatabase(SqliteDriver(path)), retention=retention)
    most = 0
    for number in range(200):
        await store.work((Change(events=tuple(event(clock.timestamp()) for _ in range(20))),))
        if number % 10 == 0:
            most = max(most, await store.transact(number_of))
    most = max(most, await store.transact(number_of))
    assert 300 <= most < 300 + 100 + 20
    await store.close()


def test_a_large_leftover_goes_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No transaction is long: orders wait for it."""
    monkeypatch.setattr(events, "BATCH", 10)
    driver = SqliteDriver(tmp_path / "bot.db")
    driver.open()
    driver.transact(lambda session: add_events(session, [event(BEGIN) for _ in range(25)]))
    retention = EventRetention(kept_seconds=DAY)
    more = [
        driver.transact(lambda session: prune_events(session, BEGIN + 2 * DAY, retention))
        for _ in range(3)
    ]
    assert (more, driver.transact(number_of)) == ([True, True, False], 0)
    driver.close()


@pytest.fixture
def secret() -> Callable[[str], str]:
    return redaction.known


def test_a_secret_is_not_stored(tmp_path: Path, secret: Callable[[str], str]) -> None:
    """What the venue said back may quote what was sent."""
    canary = secret("canary-in-an-event-1234")
    driver = SqliteDriver(tmp_path / "bot.db")
    driver.open()
    stored = event(BEGIN, reason=f"refused: {canary}", deep={"a": [canary]}, password="swordfish")
    driver.transact(lambda session: add_events(session, [stored]))
    (found,) = driver.transact(lambda session: latest_events(session, kind=None, number=1))
    driver.close()
    assert canary not in repr(found)
    assert "swordfish" not in repr(found)
    assert canary.encode() not in b"".join(p.read_bytes() for p in tmp_path.glob("bot.db*"))
    with pytest.raises(StoreError):
        driver.transact(number_of)
