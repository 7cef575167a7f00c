"""What is reported to callers when the database goes away, and that it is true: nothing that was
acknowledged is lost, nothing is done twice, no one waits for ever, and normal operation resumes."""

import asyncio
import functools
import sqlite3
import threading
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import make_url

from tests.builders import NOW
from tests.database_cable import Cable
from tests.databases import postgresql_only, sqlite_only
from tests.postgres import Cluster
from trading_ops.errors import CommitUnknown, StoreError, StoreUnavailable
from trading_ops.store import leases, notifications
from trading_ops.store.engine import parse, reading_engine, sqlite_path, writing_engine
from trading_ops.store.postgresql import WRITING, ConnectionLimits
from trading_ops.store.postgresql import engine as bounded
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

pytestmark = pytest.mark.slow

PATIENCE = 60.0
"""Anyone who waits that long waits for ever."""


def add(connection: Connection, body: bytes = b"x") -> int:
    return notifications.add(connection, received_at=NOW, body=body)


def count(engine: Engine) -> int:
    with engine.connect() as connection:
        return notifications.count(connection, notifications.NotificationState.PENDING)


class Counted:
    """Work that counts how often it was carried out, committed or not."""

    def __init__(self, then: Callable[[Connection], object] = lambda _: None) -> None:
        self.times = 0
        self._then = then

    def __call__(self, connection: Connection) -> int:
        self.times += 1
        key = add(connection)
        self._then(connection)
        return key


async def together(writer: Writer, *works: Callable[[Connection], object]) -> list[object]:
    """Carry out works in one batch; return what each got, errors too."""
    busy, go = threading.Event(), threading.Event()

    def hold(_: Connection) -> None:
        busy.set()
        assert go.wait(PATIENCE)

    held = asyncio.wrap_future(writer.submit(hold))
    assert await asyncio.to_thread(busy.wait, PATIENCE)
    waiting = [asyncio.wrap_future(writer.submit(work)) for work in works]
    go.set()
    async with asyncio.timeout(PATIENCE):
        await held
        return await asyncio.gather(*waiting, return_exceptions=True)


@postgresql_only
async def test_a_commit_without_an_answer_is_not_done_again(
    url: str, reading: Engine, postgres: Cluster
) -> None:
    """It is stored, no one could know, everyone in the batch hears so, and it is there once."""
    with Cable(postgres.port) as cable:
        writer = Writer(writing_engine(url.replace(str(postgres.port), str(cable.port))))
        writer.start()
        works = [Counted() for _ in range(3)]

        def arm(_: Connection) -> None:
            cable.cut_after = b"COMMIT"

        answers = await together(writer, *works, arm)
        assert [type(answer) for answer in answers] == [CommitUnknown] * 4
        assert cable.cuts == 1
        assert [work.times for work in works] == [1, 1, 1]
        assert isinstance(await writer.run(add), int), "it continues automatically"
        await asyncio.to_thread(writer.stop)
    assert count(reading) == 4


@postgresql_only
async def test_a_backend_that_ends_before_the_commit(
    url: str, writer: Writer, reading: Engine, postgres: Cluster
) -> None:
    """The server ends the connection between the last statement and COMMIT: not replayed."""
    work = Counted(lambda _: postgres.terminate_backends(url))
    assert isinstance((await together(writer, work, add))[0], StoreUnavailable), (
        "the second's statement met no server: nothing can be stored"
    )
    alone = Counted(lambda _: postgres.terminate_backends(url))
    with pytest.raises(CommitUnknown):
        await writer.run(alone)
    assert (work.times, alone.times) == (1, 1)
    await writer.run(add)
    with reading.connect() as connection:
        assert notifications.count(connection, notifications.NotificationState.PENDING) == 1


@postgresql_only
async def test_two_writers_in_each_others_way_both_get_through(url: str, writer: Writer) -> None:
    """A deadlock ends one transaction, which is then carried out again."""
    other = Writer(writing_engine(url))
    other.start()
    met = threading.Barrier(2)
    for target in ("a", "b"):
        await writer.run(functools.partial(leases.raise_fence, target=target))

    def crossing(first: str, second: str) -> Callable[[Connection], int]:
        meet = [met.wait]

        def work(connection: Connection) -> int:
            leases.raise_fence(connection, first)
            if meet:
                meet.pop()(PATIENCE)
            return leases.raise_fence(connection, second)

        return work

    async with asyncio.timeout(PATIENCE):
        fences = await asyncio.gather(writer.run(crossing("a", "b")), other.run(crossing("b", "a")))
    await asyncio.to_thread(other.stop)
    assert sorted(fences) == [2, 3]


@postgresql_only
async def test_two_writers_that_insert_the_same(url: str, writer: Writer) -> None:
    """The second to insert a target's first fence finds the other's and continues from it."""
    other = Writer(writing_engine(url))
    other.start()
    inserted, waiting = threading.Event(), threading.Event()

    def first(connection: Connection) -> int:
        token = leases.raise_fence(connection, "new")
        inserted.set()
        assert waiting.wait(PATIENCE)
        return token

    def second(connection: Connection) -> int:
        # From here on its insert waits for the first's end, or comes just after it.
        threading.Timer(0.1, waiting.set).start()
        return leases.raise_fence(connection, "new")

    ahead = asyncio.create_task(writer.run(first))
    assert await asyncio.to_thread(inserted.wait, PATIENCE)
    async with asyncio.timeout(PATIENCE):
        assert await other.run(second) == 2
        assert await ahead == 1
    await asyncio.to_thread(other.stop)


@pytest.fixture
def server() -> Iterator[Cluster]:
    """A server of its own, that waits for the disk and may be stopped."""
    with Cluster() as cluster:
        yield cluster


@pytest.mark.parametrize("mode", ["fast", "immediate", "kill"])
async def test_a_server_that_stops_and_comes_back(server: Cluster, mode: str) -> None:
    """While it is down every caller gets an error at once; what was acknowledged is kept."""
    url = server.new_database()
    writer, reader = Writer(writing_engine(url)), Reader(reading_engine(url))
    writer.start()
    acknowledged: set[int] = set()
    refused = 0
    stopped = threading.Event()

    async def send() -> None:
        nonlocal refused
        while not (stopped.is_set() and refused):
            try:
                acknowledged.add(await writer.take_in(add))
            except StoreError:
                refused += 1
                await asyncio.sleep(0.01)

    def stop() -> None:
        server.stop(mode)  # type: ignore[arg-type]  # pytest knows only str
        stopped.set()

    async with asyncio.timeout(PATIENCE):
        senders = [asyncio.create_task(send()) for _ in range(20)]
        await writer.run(add)
        await asyncio.to_thread(stop)
        await asyncio.gather(*senders)
        with pytest.raises(StoreUnavailable):
            await writer.run(add)
        with pytest.raises(StoreError, match="could not be read"):
            await reader.read(lambda connection: connection.exec_driver_sql("SELECT 1"))
        await asyncio.to_thread(server.start)
        acknowledged.add(await writer.run(add))
        kept = await reader.read(_keys)
    reader.close()
    await asyncio.to_thread(writer.stop)
    assert acknowledged
    assert acknowledged <= kept


def _keys(connection: Connection) -> set[int]:
    return set(connection.exec_driver_sql("SELECT id FROM notifications").scalars())


async def test_a_frozen_server_is_given_up(server: Cluster) -> None:
    """It keeps its connections and never answers: we do not wait for that either."""
    url = server.new_database() + "?connect_timeout=2"
    bounds = ConnectionLimits(name="writer", settings=WRITING, answer_seconds=0.3)
    writer = Writer(bounded(parse(url), bounds))
    writer.start()
    async with asyncio.timeout(PATIENCE):
        before = await writer.run(add)
        with server.paused(), pytest.raises(StoreError):
            await writer.run(add)
        after = await writer.run(add)
    await asyncio.to_thread(writer.stop)
    assert after > before


async def test_a_database_that_another_holds(url: str, writer: Writer, reading: Engine) -> None:
    """All that wait are refused after one wait for the lock, not after one each."""
    limit = {
        "sqlite": "PRAGMA busy_timeout = 50",
        "postgresql": "SET SESSION lock_timeout = 50",
    }[reading.dialect.name]
    await writer.run(lambda connection: connection.exec_driver_sql(limit).close())
    release = _lock_out(url)
    works = [Counted() for _ in range(20)]
    async with asyncio.timeout(PATIENCE):
        answers = await asyncio.gather(
            *(writer.run(work) for work in works), return_exceptions=True
        )
    assert [type(answer) for answer in answers] == [StoreUnavailable] * 20
    assert sum(work.times for work in works) < 10, "the others did not even try"
    release()
    await writer.run(add)
    assert count(reading) == 1


def _lock_out(url: str) -> Callable[[], None]:
    """Hold what every write needs; return what lets go."""
    path = sqlite_path(url)
    if path is not None:
        holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        holder.execute("BEGIN IMMEDIATE")
        return holder.close
    engine = writing_engine(url)
    connection = engine.connect()
    connection.exec_driver_sql("LOCK TABLE notifications IN ACCESS EXCLUSIVE MODE")

    def release() -> None:
        connection.close()
        engine.dispose()

    return release


@sqlite_only
async def test_a_full_disk(writer: Writer, reading: Engine) -> None:
    """What does not fit is refused, what fits is stored, and room helps without a restart."""
    pages = await writer.run(
        lambda connection: connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    )

    def room(more: int) -> Callable[[Connection], None]:
        return lambda c: c.exec_driver_sql(f"PRAGMA max_page_count = {pages + more}").close()

    await writer.run(room(1))
    with pytest.raises(StoreError):
        await writer.run(lambda connection: add(connection, b"x" * 1_000_000))
    await writer.run(room(1000))
    await writer.run(lambda connection: add(connection, b"x" * 1_000_000))
    assert count(reading) == 1


@sqlite_only
async def test_a_read_only_disk(url: str, reading: Engine) -> None:
    """Refused while it lasts, and stored again when it is over, without a restart."""
    engine = writing_engine(url)
    writer = Writer(engine)

    def switch(value: str) -> None:
        connection = engine.raw_connection()
        connection.cursor().execute(f"PRAGMA query_only = {value}")
        connection.close()

    switch("ON")
    writer.start()
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="readonly"):
            await writer.run(add)
    switch("OFF")
    await writer.run(add)
    await asyncio.to_thread(writer.stop)
    assert count(reading) == 1


def test_no_error_reports_the_password(server: Cluster) -> None:
    """Neither a wrong one, nor a server that is away, nor an address that is none."""
    canary = "canary-7f3a"
    good = make_url(server.new_database())
    wrong = good.set(password=canary).render_as_string(hide_password=False)
    away = good.set(password=canary, port=1).render_as_string(hide_password=False)
    for url in (wrong, away):
        writer = Writer(writing_engine(url))
        writer.start()
        with pytest.raises(StoreUnavailable) as caught:
            writer.submit(add).result(PATIENCE)
        writer.stop()
        assert canary not in str(caught.value)
    for url in (f"postgresql://u:{canary}@h:port/x", f"mysql://u:{canary}@h/x", canary):
        with pytest.raises(StoreError, match="write postgresql://USER@HOST/DATABASE") as refused:
            writing_engine(url)
        assert canary not in str(refused.value)
