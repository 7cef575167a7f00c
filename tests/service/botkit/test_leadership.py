"""The lease on a real PostgreSQL: who has it, until when, and what the token keeps out."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial

import pytest

from tests.postgres import Cluster
from trading_ops.botkit.leadership.connection import BoundedConnection
from trading_ops.botkit.leadership.lease import Lease, LeaseLost
from trading_ops.botkit.records.postgresql import PostgresqlDriver
from trading_ops.botkit.records.sql import Session
from trading_ops.errors import StoreError

SECONDS = 15.0
MARGIN = 5.0


@dataclass
class Boottime:
    """A clock that the test moves."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Place:
    """One database with as many instances as asked for."""

    url: str
    connections: list[BoundedConnection] = field(default_factory=list)

    def driver(self) -> PostgresqlDriver:
        return PostgresqlDriver(self.url, "alpha")

    def connection(self, timeout_seconds: float = 3.0) -> BoundedConnection:
        connection = BoundedConnection(self.driver(), name="test", timeout_seconds=timeout_seconds)
        self.connections.append(connection)
        return connection

    def lease(self, holder: str, boottime: Boottime | None = None, **given: float) -> Lease:
        times = {"seconds": SECONDS, "margin_seconds": MARGIN} | given
        return Lease(self.connection(), holder=holder, boottime=boottime or Boottime(), **times)

    def sql(self, *statements: str) -> None:
        driver = self.driver()
        for statement in statements:
            driver.transact(partial(_execute, statement=statement))
        driver.close()

    def run_out(self) -> None:
        """As if the database's clock were past the lease's end."""
        self.sql("UPDATE lease SET ends_at = ends_at - 3600")


def _execute(session: Session, *, statement: str) -> None:
    session.execute(statement)


@pytest.fixture
def place(postgres: Cluster) -> Iterator[Place]:
    place = Place(postgres.new_database(migrated=False))
    driver = place.driver()
    driver.open()
    driver.close()
    yield place
    for connection in place.connections:
        connection.close()


@pytest.fixture
async def held(place: Place) -> tuple[Lease, Lease, Boottime]:
    """Two instances; the first one has the lease, and its clock is the test's."""
    boottime = Boottime()
    first, second = place.lease("first", boottime), place.lease("second")
    assert await first.take()
    return first, second, boottime


Held = tuple[Lease, Lease, Boottime]


async def test_one_has_it(held: Held) -> None:
    first, second, _ = held
    assert not await second.take()
    assert (first.valid, second.valid) == (True, False)
    assert (first.token, second.token) == (1, None)


async def test_token_rises_at_each_takeover(held: Held, place: Place) -> None:
    """Also when the same instance takes its own lease again, in another life."""
    first, second, _ = held
    tokens = [first.token]
    for lease in (second, place.lease("first"), place.lease("second")):
        place.run_out()
        assert await lease.take()
        tokens.append(lease.token)
    assert tokens == [1, 2, 3, 4]


async def test_many_at_once(place: Place) -> None:
    """Of ten that ask for a free lease at the same moment one gets it."""
    leases = [place.lease(f"n{number}") for number in range(10)]
    taken = await asyncio.gather(*(lease.take() for lease in leases))
    assert sum(taken) == 1


async def test_answer_that_was_lost(place: Place) -> None:
    """It was taken, and the instance does not know: it finds out, and no one waits it out."""
    lease = place.lease("first")
    connection = lease._connection

    class Deaf:
        async def transact(self, work: Callable[[Session], object]) -> object:
            await connection.transact(work)
            raise StoreError("the answer was lost")

    lease._connection = Deaf()  # type: ignore[assignment]
    with pytest.raises(StoreError):
        await lease.take()
    assert not lease.valid
    lease._connection = connection
    assert await lease.take()
    assert lease.token == 1


@pytest.mark.parametrize(
    ("age", "valid"), [(0.0, True), (9.9, True), (10.0, False), (3600.0, False)]
)
async def test_it_is_valid_until_the_margin(held: Held, age: float, valid: bool) -> None:
    first, _, boottime = held
    boottime.now += age
    assert first.valid is valid


async def test_it_counts_from_before_the_renewal_was_sent(place: Place) -> None:
    """An answer that took long is not a reason to believe in the lease for longer."""
    boottime = Boottime()
    lease = place.lease("first", boottime)
    await lease.take()
    boottime.now += 8
    transact = lease._connection.transact

    class Slow:
        async def transact(self, work: Callable[[Session], bool]) -> bool:
            answer = await transact(work)
            boottime.now += 9.5
            return answer

    lease._connection = Slow()  # type: ignore[assignment]
    await lease.renew()
    assert lease.valid
    boottime.now += 0.6
    assert not lease.valid


async def test_one_that_ran_out_and_that_no_one_took_is_renewed(held: Held, place: Place) -> None:
    first, _, boottime = held
    boottime.now += 60
    place.run_out()
    assert not first.valid
    await first.renew()
    assert first.valid


async def test_one_that_was_taken_is_lost_for_good(held: Held, place: Place) -> None:
    first, second, _ = held
    place.run_out()
    assert await second.take()
    with pytest.raises(LeaseLost):
        await first.renew()
    place.run_out()
    with pytest.raises(LeaseLost):
        await first.renew()


async def test_release_lets_the_next_one_in_at_once(held: Held) -> None:
    first, second, _ = held
    await first.release()
    assert not first.valid
    assert await second.take()


async def test_release_after_a_takeover_changes_nothing(held: Held, place: Place) -> None:
    first, second, _ = held
    place.run_out()
    await second.take()
    await first.release()
    assert not await place.lease("third").take()


async def test_guard_lets_the_leader_write_and_no_one_else(held: Held, place: Place) -> None:
    """Anyone who was replaced writes nothing any more, and a standby nothing yet."""
    first, second, _ = held

    def write(lease: Lease, currency: str) -> None:
        driver = PostgresqlDriver(place.url, "alpha", guard=lease.fence)
        try:
            driver.transact(
                lambda session: session.execute(
                    "INSERT INTO expected_balances VALUES (?, ?)", (currency, str(Decimal(1)))
                )
            )
        finally:
            driver.close()

    write(first, "USD")
    with pytest.raises(StoreError, match="standby"):
        write(second, "BTC")
    place.run_out()
    await second.take()
    with pytest.raises(LeaseLost):
        write(first, "BTC")
    write(second, "ETH")
    driver = place.driver()
    rows = driver.transact(
        lambda session: session.execute("SELECT currency FROM expected_balances").all()
    )
    driver.close()
    assert sorted(rows) == [("ETH",), ("USD",)]


async def test_takeover_waits_for_a_write_that_is_under_way(held: Held, place: Place) -> None:
    """What the old leader is just committing is seen by the new one, or was refused."""
    first, second, _ = held
    place.run_out()
    entered, leave = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(session: Session) -> None:
        session.execute("INSERT INTO nonces VALUES ('key', 42)")
        loop.call_soon_threadsafe(entered.set)
        asyncio.run_coroutine_threadsafe(leave.wait(), loop).result(5)

    driver = PostgresqlDriver(place.url, "alpha", guard=first.fence)
    writing = asyncio.create_task(asyncio.to_thread(driver.transact, slow))
    await entered.wait()
    await first.renew()  # which does not wait for it
    place_again = place.lease("third")
    place.run_out()
    taking = asyncio.create_task(second.take())
    done, _ = await asyncio.wait({taking}, timeout=0.3)
    assert not done
    leave.set()
    await writing
    assert await taking
    driver.close()
    assert not await place_again.take()


async def test_server_that_stands_still_keeps_no_one_waiting(
    place: Place, postgres: Cluster
) -> None:
    """It answers nothing and breaks nothing; the wait ends all the same, and later it continues."""
    connection = place.connection(timeout_seconds=0.5)
    lease = Lease(connection, holder="first", seconds=SECONDS, margin_seconds=MARGIN)
    await lease.take()
    with postgres.paused():
        with pytest.raises(StoreError, match="no answer within"):
            await lease.renew()
        with pytest.raises(StoreError):
            await asyncio.to_thread(
                connection.transact_blocking, lambda session: session.execute("SELECT 1")
            )
    for _ in range(20):
        try:
            await lease.renew()
        except StoreError:
            continue
        break
    assert lease.valid


async def test_a_standby_reports_that_it_watches(place: Place) -> None:
    """The leader sees it as long as it is fresh; its own earlier word does not count."""
    clock = Boottime()
    leader, standby = place.lease("first"), place.lease("second", clock)
    assert await leader.take()
    assert await leader.standby() is None
    assert not await standby.take()
    assert await leader.standby() == "second"
    place.sql("UPDATE facts SET at = at - 10 WHERE name = 'standby'")
    assert await leader.standby() is None
    clock.now += 0.5
    assert not await standby.take()  # which looks more often than it tells
    assert await leader.standby() is None
    clock.now += 2
    assert not await standby.take()
    assert await leader.standby() == "second"
    await leader.release()
    assert await standby.take()
    assert await standby.standby() is None
