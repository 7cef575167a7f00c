"""The one writing thread: nothing is answered that is not committed, and a bad request harms
only itself."""

import asyncio
import threading
import time

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from tests.builders import NOW
from tests.databases import postgresql_only, sqlite_only
from tests.postgres import Cluster
from trading_ops.errors import StoreBusy, StoreError
from trading_ops.store import notifications
from trading_ops.store.engine import writing_engine
from trading_ops.store.reader import Reader
from trading_ops.store.writer import INTAKE_LIMIT, Writer


def add(connection: Connection) -> int:
    return notifications.add(connection, received_at=NOW, body=b"x")


def fail(connection: Connection) -> None:
    connection.exec_driver_sql("INSERT INTO nowhere VALUES (1)")


def count(engine: Engine) -> int:
    with engine.connect() as connection:
        return notifications.count(connection, notifications.NotificationState.PENDING)


class Held:
    """Keeps the writer busy, so that requests gather into one batch."""

    def __init__(self, writer: Writer) -> None:
        self._busy, self._go = threading.Event(), threading.Event()
        writer.submit(self._hold)
        assert self._busy.wait(60)

    def _hold(self, connection: Connection) -> None:
        del connection
        self._busy.set()
        assert self._go.wait(60)

    def let_go(self) -> None:
        self._go.set()


async def test_an_answer_means_that_it_is_committed(writer: Writer, reading: Engine) -> None:
    """Another connection sees it at once."""
    await writer.run(add)
    assert count(reading) == 1


async def test_a_failing_request_harms_only_itself(writer: Writer, reading: Engine) -> None:
    """A batch that fails is rolled back and replayed one by one."""
    held = Held(writer)
    good = [asyncio.wrap_future(writer.submit(add)) for _ in range(3)]
    bad = asyncio.wrap_future(writer.submit(fail))
    good += [asyncio.wrap_future(writer.submit(add)) for _ in range(3)]
    held.let_go()
    assert len(await asyncio.gather(*good)) == 6
    with pytest.raises(StoreError, match="could not store"):
        await bad
    assert count(reading) == 6


async def test_a_defect_reaches_the_caller(writer: Writer) -> None:
    """An error of our own is not disguised as a database's."""

    def defect(connection: Connection) -> None:
        del connection
        raise ZeroDivisionError

    def refusal(connection: Connection) -> None:
        del connection
        raise StoreError("no")

    with pytest.raises(ZeroDivisionError):
        await writer.run(defect)
    with pytest.raises(StoreError, match="no"):
        await writer.run(refusal)


async def test_control_goes_ahead_of_intake(writer: Writer) -> None:
    """A storm of notifications does not hold up an order."""
    order: list[str] = []
    held = Held(writer)
    stored = asyncio.create_task(writer.take_in(lambda _: order.append("intake")))
    await asyncio.sleep(0)
    ordered = asyncio.wrap_future(writer.submit(lambda _: order.append("control")))
    assert writer.waiting == 2
    held.let_go()
    await asyncio.gather(stored, ordered)
    assert order == ["control", "intake"]


async def test_a_full_intake_says_so(writer: Writer, reading: Engine) -> None:
    """Beyond the limit the sender is asked to retry; what was accepted is stored."""
    held = Held(writer)
    accepted = [asyncio.create_task(writer.take_in(add)) for _ in range(INTAKE_LIMIT)]
    await asyncio.sleep(0)
    with pytest.raises(StoreBusy):
        await writer.take_in(add)
    held.let_go()
    await asyncio.gather(*accepted)
    assert count(reading) == INTAKE_LIMIT


async def test_a_cancelled_request_is_left_out(writer: Writer, reading: Engine) -> None:
    """Anyone who no longer waits gets nothing stored, and the rest continues."""
    held = Held(writer)
    future = writer.submit(add)
    assert future.cancel()
    held.let_go()
    await writer.run(add)
    assert count(reading) == 1


def test_stopping_finishes_what_was_accepted(url: str, reading: Engine) -> None:
    """Nothing that waits is lost."""
    writer = Writer(writing_engine(url))
    for _ in range(100):
        writer.submit(add)
    writer.start()
    writer.stop()
    assert count(reading) == 100


async def test_readers_cannot_write(url: str, reading: Engine) -> None:
    """A reading connection is refused by the database itself."""
    del url
    with reading.connect() as connection, pytest.raises(DBAPIError, match=r"read-?only"):
        add(connection)
    with pytest.raises(StoreError, match="could not be read: ") as caught:
        await Reader(reading).read(fail)
    assert "\n" not in str(caught.value)
    assert "nowhere" in str(caught.value)


async def test_why_a_read_failed_is_reported_without_the_password() -> None:
    """The driver's first line; a driver may repeat the connection string."""

    def refuse() -> None:
        raise psycopg.OperationalError("FATAL: no entry for ada:geheim\nHINT: look elsewhere")

    engine = create_engine("postgresql+psycopg://ada:geheim@127.0.0.1:1/x", creator=refuse)
    reader = Reader(engine)
    with pytest.raises(StoreError) as caught:
        await reader.read(fail)
    reader.close()
    assert str(caught.value) == "the database could not be read: FATAL: no entry for ada:***"


@sqlite_only
def test_a_power_cut_cannot_take_a_commit(engine: Engine) -> None:
    """WAL with synchronous=FULL: the commit waits for the disk."""
    with engine.begin() as connection:
        asked = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert asked == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


@postgresql_only
def test_the_servers_defaults_are_not_trusted(url: str, postgres: Cluster) -> None:
    """A database set to acknowledge before it has stored does not get its way with us."""
    name = sql.Identifier(make_url(url).database or "")
    for setting in ("synchronous_commit = off", "default_transaction_isolation = serializable"):
        postgres.execute(sql.SQL("ALTER DATABASE {} SET " + setting).format(name))
    engine = writing_engine(url)
    with engine.begin() as connection:
        asked = {
            name: connection.exec_driver_sql(f"SHOW {name}").scalar_one()
            for name in (
                "synchronous_commit",
                "transaction_isolation",
                "statement_timeout",
                "lock_timeout",
                "idle_in_transaction_session_timeout",
                "application_name",
            )
        }
    engine.dispose()
    assert asked == {
        "synchronous_commit": "on",
        "transaction_isolation": "read committed",
        "statement_timeout": "5s",
        "lock_timeout": "3s",
        "idle_in_transaction_session_timeout": "10s",
        "application_name": "trading-ops writer",
    }


async def test_a_reading_sees_one_moment(writer: Writer, reading: Engine) -> None:
    """What is committed between two reads of one transaction is not seen by the second."""
    await writer.run(add)
    with reading.connect() as connection:
        first = notifications.count(connection, notifications.NotificationState.PENDING)
        await writer.run(add)
        second = notifications.count(connection, notifications.NotificationState.PENDING)
    assert (first, second) == (1, 1)
    assert count(reading) == 2


async def test_after_stop_a_request_is_refused(url: str) -> None:
    """It must not wait for a thread that has ended; what was accepted before is stored."""
    writer = Writer(writing_engine(url))
    writer.start()
    held = Held(writer)
    accepted = writer.submit(add)
    stopping = asyncio.create_task(asyncio.to_thread(writer.stop))
    held.let_go()
    await stopping
    assert accepted.result(timeout=0) > 0
    for ask in (writer.run, writer.take_in):
        with pytest.raises(StoreError, match="stopped"):
            await asyncio.wait_for(ask(add), 30)
    with pytest.raises(StoreError, match="stopped"):
        writer.submit(add)


async def test_a_callback_that_fails_after_commit_replays_nothing(
    writer: Writer, reading: Engine
) -> None:
    """The batch is committed: every request in it is answered, and is carried out once."""

    def fail_after_commit(seconds: float) -> None:
        raise ZeroDivisionError(seconds)

    held = Held(writer)
    requests = [asyncio.wrap_future(writer.submit(add)) for _ in range(3)]
    writer.on_commit = fail_after_commit
    held.let_go()
    assert len(set(await asyncio.gather(*requests))) == 3
    assert count(reading) == 3


async def test_close_cancels_the_reads_that_were_only_started(reading: Engine) -> None:
    """A read of a database that hangs must not outlive the reader."""
    begun = threading.Event()

    def hang(connection: Connection) -> None:
        del connection
        begun.set()
        deadline = time.monotonic() + 60
        while not task.cancelling() and time.monotonic() < deadline:
            time.sleep(0.01)

    reader = Reader(reading)
    task = reader.start(hang)
    assert await asyncio.to_thread(begun.wait, 60)
    reader.close()
    with pytest.raises(asyncio.CancelledError):
        await task
