"""What the exporter says of a real PostgreSQL, whose faults are real as well."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.database_cable import Cable
from tests.postgres import Cluster
from tests.service.exporter.postgresqls import PASSWORD, client, entry, look, role
from tests.waiting import eventually
from trading_ops.exporter.collector import PolledSource
from trading_ops.exporter.databases.postgresql.source import Postgresql, PostgresqlStorage

SLOTS = 7
SETTINGS = {
    "max_connections": "10",
    "superuser_reserved_connections": "3",
    "max_prepared_transactions": "2",
    "autovacuum": "off",
    "archive_mode": "on",
    "archive_command": "/bin/false",
}


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    with Cluster(fast=True, settings=SETTINGS) as cluster:
        cluster.new_database(migrated=False)
        role(cluster, "watcher", "pg_read_all_stats")
        role(cluster, "stranger")
        yield cluster


@pytest.fixture
def url(server: Cluster) -> Iterator[str]:
    made = server.new_database(migrated=False)
    yield made
    server.drop(made)


@pytest.fixture
def source(server: Cluster, url: str, tmp_path: Path) -> Iterator[Postgresql]:
    made = Postgresql(entry(tmp_path, server, url, user="watcher"))
    yield made
    made.close()


async def test_a_healthy_server(source: Postgresql) -> None:
    """Nothing is absent, and what should be zero is."""
    seen = await look(source)
    assert seen["up"] == 1
    assert seen["connection_slots"] == SLOTS
    assert 0 < seen["connection_slots_used_ratio"] < 1
    assert seen["in_recovery"] == 0
    assert any(name.startswith("info:1") for name in seen)
    for quiet in (
        "lock_waits",
        "longest_transaction_seconds",
        "longest_idle_in_transaction_seconds",
        "longest_lock_wait_seconds",
        "deadlocks_total",
        "prepared_transactions",
        "oldest_xmin_age:session",
        "connections:idle_in_transaction",
    ):
        assert seen[quiet] == 0, quiet
    assert 0 <= seen["xid_used_ratio"] < 0.01
    assert not [name for name in seen if name.startswith("statistic_unavailable")]


async def test_one_connection_is_kept_and_cannot_write(
    server: Cluster, source: Postgresql, url: str
) -> None:
    """The session is identifiable, the same in every reading, and read-only."""
    await look(source)
    seen = "SELECT pid, application_name FROM pg_stat_activity WHERE usename = 'watcher'"
    (first,) = server.execute(seen)
    await look(source)
    assert server.execute(seen) == [first]
    assert first[1] == "trading-ops exporter activity"
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        await source.readings.session.rows("CREATE TABLE public.mine ()", {})


async def test_idle_in_transaction(source: Postgresql, server: Cluster, url: str) -> None:
    """A client that forgets its transaction is seen by its state, its age and what it holds."""
    with client(url) as forgetful:
        forgetful.execute("SET default_transaction_isolation = 'repeatable read'")
        forgetful.commit()
        forgetful.execute("SELECT count(*) FROM pg_class")
        with client(url, autocommit=True) as busy:
            for number in range(5):
                busy.execute(f"CREATE TABLE t{number} ()")
        seen = await look(source)
        assert seen["connections:idle_in_transaction"] == 1
        assert seen["longest_transaction_seconds"] > 0
        assert seen["longest_idle_in_transaction_seconds"] > 0
        assert seen["oldest_xmin_age:session"] >= 5
        older = await look(source)
        assert older["longest_transaction_seconds"] > seen["longest_transaction_seconds"]
    seen = await look(source)
    assert seen["connections:idle_in_transaction"] == 0
    assert seen["longest_transaction_seconds"] == 0


async def test_a_lock_wait(source: Postgresql, server: Cluster, url: str) -> None:
    """Anyone who waits behind a lock is counted, and for how long."""
    with client(url) as holder, client(url) as waiter:
        holder.execute("CREATE TABLE t (a int)")
        holder.commit()
        holder.execute("LOCK TABLE t")
        waiting = threading.Thread(target=_select, args=(waiter,))
        waiting.start()
        try:

            async def seen() -> dict[str, float] | None:
                found = await look(source)
                return found if found["longest_lock_wait_seconds"] > 0 else None

            found = await eventually(seen, what="the wait is seen")
            assert found["lock_waits"] == 1
            assert found["connections:active"] == 2  # ours, and who waits
            assert found["longest_query_seconds"] > 0
        finally:
            holder.rollback()
            waiting.join()
    assert (await look(source))["lock_waits"] == 0


def _select(connection: psycopg.Connection[Any]) -> None:
    connection.execute("SELECT * FROM t")


async def test_a_locked_table_stops_no_reading(
    server: Cluster, url: str, tmp_path: Path, source: Postgresql
) -> None:
    """An ALTER TABLE that takes its time is waited for by no one here."""
    stored = PostgresqlStorage(entry(tmp_path, server, url, user="watcher"))
    with client(url) as holder:
        holder.execute("CREATE TABLE t (a int PRIMARY KEY)")
        holder.commit()
        holder.execute("LOCK TABLE t")
        assert (await look(source))["up"] == 1
        seen = await look(stored)
    assert "table_size_bytes:public.t" in seen
    assert not [name for name in seen if name.startswith("statistic_unavailable")]


async def test_all_slots_used(
    source: Postgresql, server: Cluster, url: str, tmp_path: Path
) -> None:
    """The connection that we have goes on telling; one that has none says why."""
    late = Postgresql(entry(tmp_path, server, url, user="watcher"))
    await look(source)
    clients: list[psycopg.Connection[Any]] = []
    try:
        with contextlib.suppress(psycopg.OperationalError):
            while len(clients) < SLOTS:
                clients.append(client(url))
        assert (await look(source))["connection_slots_used_ratio"] == 1
        refused = await look(late)
        assert refused["up"] == 0
        assert refused["statistic_unavailable:connection,no_slot"] == 1
    finally:
        for connection in clients:
            connection.close()
    await eventually(lambda: _has_room(server, url))
    assert (await look(late))["up"] == 1
    late.close()


def _has_room(server: Cluster, url: str) -> bool:
    try:
        client(url).close()
    except psycopg.OperationalError:
        return False
    return True


async def test_a_deadlock_and_a_prepared_transaction(
    source: Postgresql, server: Cluster, url: str
) -> None:
    """Both are the server's own word."""
    with client(url) as first, client(url) as other:
        first.execute("CREATE TABLE a (); CREATE TABLE b ()")
        first.commit()
        first.execute("LOCK TABLE a")
        other.execute("LOCK TABLE b")
        waiting = threading.Thread(target=_suppressed, args=(first, "LOCK TABLE b"))
        waiting.start()
        _suppressed(other, "LOCK TABLE a")
        waiting.join()
        first.rollback()
        other.rollback()
    with client(url) as forgetful:
        forgetful.execute("CREATE TABLE c ()")
        forgetful.execute("PREPARE TRANSACTION 'forgotten'")
    try:

        async def counted() -> dict[str, float] | None:
            found = await look(source)
            return found if found["deadlocks_total"] == 1 else None

        seen = await eventually(counted, what="the deadlock is counted")
        assert seen["prepared_transactions"] == 1
        assert seen["longest_prepared_transaction_seconds"] > 0
        assert seen["oldest_xmin_age:prepared"] > 0
    finally:
        server.execute("ROLLBACK PREPARED 'forgotten'", url.rpartition("/")[2])


def _suppressed(connection: psycopg.Connection[Any], statement: str) -> None:
    with contextlib.suppress(psycopg.errors.DeadlockDetected):
        connection.execute(statement)


async def test_archiving_that_fails(source: Postgresql, server: Cluster) -> None:
    """Its command is `false`."""
    server.execute("SELECT pg_switch_wal()")

    async def failed() -> dict[str, float] | None:
        found = await look(source)
        return found if found["wal_archive_failures_total"] >= 1 else None

    seen = await eventually(failed, within=60, what="the failure is counted")
    assert seen["wal_archive_enabled"] == 1
    assert seen["wal_archived_total"] == 0
    assert seen["wal_archive_last_failure_timestamp_seconds"] > 0
    assert seen["wal_archive_last_success_timestamp_seconds"] == 0


async def test_a_slot_that_no_one_reads(source: Postgresql, server: Cluster) -> None:
    """It keeps WAL, for ever."""
    server.execute("SELECT pg_create_physical_replication_slot('forgotten', true)")
    try:
        before = await look(source)
        server.execute("SELECT pg_logical_emit_message(false, '', repeat('x', 100000))")
        seen = await look(source)
    finally:
        server.execute("SELECT pg_drop_replication_slot('forgotten')")
    assert seen["inactive_replication_slots"] == seen["replication_slots"] == 1
    grown = seen["replication_slot_retained_bytes"] - before["replication_slot_retained_bytes"]
    assert grown >= 50_000  # not all is written at once
    assert (await look(source))["replication_slot_retained_bytes"] == 0


async def test_work_is_counted(source: Postgresql, server: Cluster, url: str) -> None:
    """Rollbacks, bytes of temporary files, checkpoints that someone asked for."""
    before = await look(source)
    with client(url) as busy:
        busy.execute("SET work_mem = '64kB'")
        busy.execute("SELECT g FROM generate_series(1, 100000) AS g ORDER BY -g")
        busy.rollback()
    server.execute("CHECKPOINT")

    async def all_grew() -> bool:  # each process of the server publishes its statistics itself
        found = await look(source)
        names = ("temp_bytes_total", "rollbacks_total", "checkpoints_total:requested")
        return all(found[name] > before[name] for name in names)

    await eventually(all_grew)


async def test_without_the_privilege(server: Cluster, url: str, tmp_path: Path) -> None:
    """What the role may not see is absent, and says so; it is never reported as zero."""
    source = Postgresql(entry(tmp_path, server, url, user="stranger"))
    with client(url) as forgetful:
        forgetful.execute("SELECT 1")
        seen = await look(source)
    source.close()
    assert seen["up"] == 1
    for reading in ("connections", "ages", "session_horizon", "replicas"):
        assert seen[f"statistic_unavailable:{reading},privilege"] == 1
    assert not [name for name in seen if name.startswith(("connections:", "longest_transaction"))]
    assert "oldest_xmin_age:session" not in seen
    assert seen["connection_slots_used_ratio"] > 0
    assert seen["oldest_xmin_age:slot"] == 0


async def test_a_killed_server_comes_back(server: Cluster, source: Postgresql) -> None:
    """With all processes of it gone there is one figure and the reason; later all are back."""
    began = (await look(source))["start_timestamp_seconds"]
    server.stop("kill")
    try:
        seen = await look(source)
        assert {name for name in seen if not name.startswith("read_")} == {
            "up",
            "statistic_unavailable:connection,unreachable",
        }
        assert seen["up"] == 0
    finally:
        server.start()
    seen = await look(source)
    assert seen["up"] == 1
    assert seen["start_timestamp_seconds"] > began


async def test_a_restart_between_two_readings_costs_none(
    server: Cluster, source: Postgresql
) -> None:
    """The connection is gone, and a new one is made for the same reading."""
    await look(source)
    server.restart("fast")
    assert (await look(source))["up"] == 1


async def test_a_crash_in_the_middle_of_a_reading(server: Cluster, source: Postgresql) -> None:
    """The statement's answer never comes: the reading fails, and the next one is whole."""
    await look(source)
    asked = asyncio.create_task(source.readings.session.rows("SELECT pg_sleep(30)", {}))
    sleeping = "SELECT 1 FROM pg_stat_activity WHERE usename = 'watcher' AND wait_event = 'PgSleep'"
    await eventually(lambda: server.execute(sleeping))
    await asyncio.to_thread(server.restart, "immediate")
    with pytest.raises(psycopg.Error):
        await asked
    assert (await look(source))["up"] == 1


async def test_a_server_that_hangs(server: Cluster, url: str, tmp_path: Path) -> None:
    """Frozen as a whole: a reading ends at its timeout and leaves no thread; later all is well."""
    source = Postgresql(entry(tmp_path, server, url, user="watcher", timeout_seconds=1.0))
    watched = PolledSource(source)
    assert await _succeeds(watched)
    threads = threading.active_count()
    with server.paused():
        for _ in range(2):  # on the connection that is there, and on none
            async with asyncio.timeout(30):
                assert not await _succeeds(watched)
            failures = {
                tuple(sample.labels.values())
                for family in watched.figures()
                for sample in family.samples
                if family.name == "trading_postgresql_statistic_unavailable"
            }
            assert failures == {("bot", "connection", "silent")}
        assert threading.active_count() == threads
    await eventually(lambda: _succeeds(watched))
    source.close()


async def _succeeds(watched: PolledSource) -> bool:
    await watched.once()
    return watched.up


async def test_a_cut_cable(server: Cluster, url: str, tmp_path: Path) -> None:
    """The connection ends instead of an answer; the next reading has a new one."""
    with Cable(server.port) as cable:
        source = Postgresql(entry(tmp_path, server, url, user="watcher", port=cable.port))
        assert (await look(source))["up"] == 1
        cable.cut_after = b"pg_stat_archiver"
        for _ in range(8):  # once it is prepared, its text is not sent again
            seen = await look(source)
            if cable.cuts:
                break
            source.close()
        assert cable.cuts == 1
        assert seen["up"] == 0
        assert (await look(source))["up"] == 1
        source.close()


BAD = {
    "missing": (None, "configuration"),
    "empty": ("", "configuration"),
    "no string": (f"passwort={PASSWORD}", "configuration"),
    "a secret in an URL": (f"postgresql://u:%%{PASSWORD}@h/d", "configuration"),
    "several hosts": ("host=a,b dbname=x", "configuration"),
    "wrong password": (
        "host=127.0.0.1 port={port} dbname=postgres user=watcher password=x",
        "login",
    ),
    "no such database": (
        f"host=127.0.0.1 port={{port}} dbname=none user=watcher password='{PASSWORD}'",
        "login",
    ),
    "no server": ("host=127.0.0.1 port=1 dbname=x user=y", "unreachable"),
    "unknown host": ("host=nowhere.invalid dbname=x user=y", "configuration"),
}


@pytest.mark.parametrize("bad", BAD)
async def test_a_connection_string_that_is_of_no_use(
    server: Cluster, url: str, source: Postgresql, tmp_path: Path, bad: str
) -> None:
    """The reason is reported, the password never; once the file is fixed no restart is needed."""
    text, reason = BAD[bad]
    file = tmp_path / "dsn"
    good = file.read_text()
    if text is None:
        file.unlink()
    else:
        file.write_text(text.format(port=server.port) if "{port}" in text else text)
    watched = PolledSource(source)
    await watched.once()
    assert not watched.up
    assert PASSWORD not in watched.problem
    reasons = [
        sample.labels["reason"]
        for family in watched.figures()
        for sample in family.samples
        if "reason" in sample.labels
    ]
    assert reasons == [reason]
    file.write_text(good)
    assert (await look(source))["up"] == 1


async def test_a_function_of_a_users_is_not_called(
    server: Cluster, url: str, source: Postgresql
) -> None:
    """Who owns the database cannot have the exporter's role carry out functions of theirs."""
    database = url.rpartition("/")[2]
    with client(url, autocommit=True) as owner:
        owner.execute("CREATE SCHEMA evil; GRANT USAGE ON SCHEMA evil TO PUBLIC")
        for name, result, value in (
            ("pg_is_in_recovery()", "boolean", "true"),
            ("set_config(text, text, boolean)", "text", "'no'"),
        ):
            owner.execute(
                f"CREATE FUNCTION evil.{name} RETURNS {result} LANGUAGE sql AS 'SELECT "
                + value.replace("'", "''") + "'"
            )  # fmt: skip
        owner.execute(f"ALTER DATABASE {database} SET search_path = evil, pg_catalog")
    assert (await look(source))["in_recovery"] == 0
