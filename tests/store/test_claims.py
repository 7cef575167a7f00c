"""Leases on keys: one holder at a time, free keys for any replica; dead holders are replaced.

PostgreSQL keeps time itself, so a lease is made to run out by moving its end into the past.
"""

from datetime import timedelta

from sqlalchemy import Connection, Engine, select, update

from trading_ops import clock
from trading_ops.store import audit_chain, events, leases
from trading_ops.store.engine import database_now, writing_engine
from trading_ops.store.leases import LEASE, MARGIN, Claim
from trading_ops.store.tables import claims as table
from trading_ops.store.writer import transaction

KEYS = ["target:a", "target:b", "target:c", "target:d"]


def renew(connection: Connection, replica: str) -> frozenset[str]:
    return leases.renew(connection, replica, now=clock.now())


def take(connection: Connection, replica: str, keys: list[str], held: int = 0) -> frozenset[str]:
    return leases.take(connection, replica, keys, held=held, now=clock.now())


def runs_out(connection: Connection, *, left: timedelta = timedelta(seconds=-1)) -> None:
    until = database_now(connection, clock.now()) + left
    connection.execute(update(table).values(until=until))


def test_a_lone_replica_takes_all(connection: Connection) -> None:
    """And keeps what it has when it renews."""
    renew(connection, "one")
    assert take(connection, "one", KEYS) == set(KEYS)
    assert renew(connection, "one") == set(KEYS)


def test_what_one_holds_another_does_not_get(connection: Connection) -> None:
    """Until it is given up."""
    renew(connection, "one")
    take(connection, "one", KEYS)
    renew(connection, "two")
    assert take(connection, "two", KEYS) == set()
    leases.release(connection, "one", KEYS[:1])
    assert take(connection, "two", KEYS) == {KEYS[0]}
    assert renew(connection, "one") == set(KEYS[1:])


def test_two_share_the_work(connection: Connection) -> None:
    """Neither takes more than its half; the other half is left to the other."""
    renew(connection, "one")
    renew(connection, "two")
    first = take(connection, "one", KEYS)
    assert len(first) == 2
    second = take(connection, "two", KEYS)
    assert second == set(KEYS) - first


def test_a_lease_that_ran_out_is_taken_over_and_reported(connection: Connection) -> None:
    """The former holder has nothing left, whatever it believes."""
    renew(connection, "one")
    take(connection, "one", KEYS[:1])
    claim = Claim(KEYS[0], "one")
    assert leases.is_held(connection, claim, now=clock.now(), margin=MARGIN)
    runs_out(connection)
    assert not leases.is_held(connection, claim, now=clock.now())
    assert leases.holder(connection, KEYS[0], now=clock.now()) is None
    renew(connection, "two")
    assert take(connection, "two", KEYS[:1]) == {KEYS[0]}
    assert renew(connection, "one") == frozenset()
    assert leases.holder(connection, KEYS[0], now=clock.now()) == "two"
    audit_chain.write(connection, b"")
    (event,) = (event for event in events.latest(connection) if event.kind == "claim_taken_over")
    assert (event.actor, event.note) == ("two", f"{KEYS[0]} from one")


def test_no_effect_is_started_at_the_end_of_a_lease(connection: Connection) -> None:
    """Less than the margin left: it may still be the holder when the effect starts, or not."""
    renew(connection, "one")
    take(connection, "one", KEYS[:1])
    runs_out(connection, left=MARGIN - timedelta(seconds=1))
    claim = Claim(KEYS[0], "one")
    assert leases.is_held(connection, claim, now=clock.now())
    assert not leases.is_held(connection, claim, now=clock.now(), margin=MARGIN)


def test_a_lease_that_ran_out_and_that_no_one_took_goes_on(connection: Connection) -> None:
    """The database was away for a while: no need to start again."""
    renew(connection, "one")
    take(connection, "one", KEYS)
    runs_out(connection)
    assert renew(connection, "one") == set(KEYS)
    claim = Claim(KEYS[0], "one")
    assert leases.is_held(connection, claim, now=clock.now(), margin=LEASE - MARGIN)


def test_a_replica_that_ends_leaves_nothing_behind(connection: Connection) -> None:
    """No one has to wait for its leases; with it gone, the other takes all."""
    renew(connection, "one")
    renew(connection, "two")
    take(connection, "one", KEYS)
    leases.leave(connection, "one")
    assert take(connection, "two", KEYS) == set(KEYS)


def test_rows_that_another_has_locked_are_skipped(url: str, engine: Engine) -> None:
    """Two that claim at once neither wait for each other nor get the same."""
    with transaction(engine) as connection:
        renew(connection, "one")
        renew(connection, "two")
        taken = take(connection, "one", KEYS)
    free = sorted(set(KEYS) - taken)
    if engine.dialect.name != "postgresql":
        return  # SQLite has one writer: there is no one who could lock a row
    others = writing_engine(url)
    with others.begin() as other:
        other.execute(select(table).where(table.c.key == free[0]).with_for_update())
        with transaction(engine) as connection:
            assert take(connection, "two", free) == set(free[1:])
    others.dispose()
