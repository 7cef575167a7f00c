"""What the exporter says of tables and indexes that are really bloated, broken or unused."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.postgres import Cluster
from tests.service.exporter.postgresqls import client, entry, look, role
from tests.waiting import eventually
from trading_ops.exporter.databases.postgresql.bloat import Growth, expected_bytes
from trading_ops.exporter.databases.postgresql.source import PostgresqlStorage

pytestmark = pytest.mark.processes

ROWS = 100_000
INSERT = "INSERT INTO orders SELECT g, %s || g FROM generate_series(1, %s) AS g"


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    with Cluster(fast=True, settings={"autovacuum": "off"}) as cluster:
        cluster.new_database(migrated=False)
        role(cluster, "watcher", "pg_read_all_stats", "pg_read_all_data")
        role(cluster, "stranger")
        yield cluster


@pytest.fixture
def url(server: Cluster) -> Iterator[str]:
    made = server.new_database(migrated=False)
    yield made
    server.drop(made)


@pytest.fixture
def source(server: Cluster, url: str, tmp_path: Path) -> PostgresqlStorage:
    return PostgresqlStorage(entry(tmp_path, server, url, user="watcher"))


@pytest.fixture
def owner(url: str) -> Iterator[psycopg.Connection[object]]:
    with client(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE orders (id int, venue_id text)")
        connection.execute(INSERT, ["order-", ROWS])
        # Otherwise the inserted rows may be counted after ANALYZE, on top of its estimate.
        connection.execute("SELECT pg_stat_force_next_flush()")
        connection.execute("CREATE INDEX by_id ON orders (id)")
        connection.execute("CREATE INDEX by_venue_id ON orders (venue_id)")
        connection.execute("CREATE INDEX by_upper ON orders (upper(venue_id))")
        connection.execute("VACUUM ANALYZE orders")
        yield connection


async def test_bloat_and_its_fix(
    source: PostgresqlStorage, owner: psycopg.Connection[object]
) -> None:
    """Nine of ten rows are deleted: dead rows, then a bloated index, then a rebuilt one."""
    indexes = ("public.by_id", "public.by_venue_id", "public.by_upper")
    seen = await look(source)
    for index in indexes:
        assert seen[f"index_growth_ratio:{index}"] == 1
        assert seen[f"index_bloat_ratio:{index}"] == pytest.approx(1, abs=0.15)
    assert seen["table_dead_ratio:public.orders"] == 0

    owner.execute("DELETE FROM orders WHERE id % 10 <> 0")

    owner.execute("SELECT pg_stat_force_next_flush()")  # an idle session is in no hurry

    async def dead() -> dict[str, float] | None:
        found = await look(source)
        return found if found["table_dead_rows:public.orders"] == 0.9 * ROWS else None

    seen = await eventually(dead, what="the dead rows to be exported")
    assert seen["table_dead_ratio:public.orders"] > 0.4  # the live ones are an estimate
    owner.execute("VACUUM ANALYZE orders")

    async def bloated() -> dict[str, float] | None:
        found = await look(source)
        return found if found["table_dead_rows:public.orders"] == 0 else None

    seen = await eventually(bloated)
    for index in indexes:
        assert seen[f"index_growth_ratio:{index}"] == pytest.approx(10, rel=0.05)
        assert seen[f"index_bloat_ratio:{index}"] > 5
    assert seen["table_last_vacuum_timestamp_seconds:public.orders"] > 0
    assert seen["table_last_analyze_timestamp_seconds:public.orders"] > 0

    owner.execute(INSERT, ["new-", ROWS])
    owner.execute("REINDEX TABLE orders")
    seen = await look(source)
    for index in indexes:
        assert seen[f"index_growth_ratio:{index}"] == 1
        assert seen[f"index_bloat_ratio:{index}"] == pytest.approx(1, abs=0.15)

    owner.execute("ALTER INDEX by_id SET (fillfactor = 40)")
    owner.execute("REINDEX INDEX by_id")  # larger than it has ever been, and as it should be
    seen = await look(source)
    assert seen["index_growth_ratio:public.by_id"] == 1
    assert seen["index_bloat_ratio:public.by_id"] == pytest.approx(1, abs=0.15)


async def test_an_invalid_index(
    source: PostgresqlStorage, owner: psycopg.Connection[object], url: str
) -> None:
    """A unique index is built over duplicates: what is left of it is named until it is dropped."""
    assert (await look(source))["invalid_indexes"] == 0
    owner.execute("INSERT INTO orders VALUES (1, 'twice')")
    with pytest.raises(psycopg.errors.UniqueViolation):
        owner.execute("CREATE UNIQUE INDEX CONCURRENTLY once ON orders (id)")
    seen = await look(source)
    assert seen["invalid_indexes"] == seen["index_invalid:public.once"] == 1
    owner.execute("DROP INDEX once")
    assert (await look(source))["invalid_indexes"] == 0


async def test_an_index_that_is_being_built_is_not_broken(
    source: PostgresqlStorage, owner: psycopg.Connection[object], url: str, server: Cluster
) -> None:
    """It waits for an older transaction, and is not valid yet."""
    with client(url) as older, client(url, autocommit=True) as builder:
        older.execute("INSERT INTO orders VALUES (0, 'open')")
        builder.pgconn.send_query(b"CREATE INDEX CONCURRENTLY slow ON orders (id)")
        await eventually(
            lambda: owner.execute("SELECT 1 FROM pg_index WHERE NOT indisvalid").fetchall()
        )
        assert (await look(source))["invalid_indexes"] == 0
        older.rollback()
        while builder.pgconn.get_result() is not None:
            pass
    assert (await look(source))["invalid_indexes"] == 0


async def test_unused_indexes(
    source: PostgresqlStorage, owner: psycopg.Connection[object], url: str
) -> None:
    """An index that a query uses is unused no more; a unique one never is, since it protects."""
    owner.execute("ALTER TABLE orders ADD PRIMARY KEY (id)")
    assert (await look(source))["unused_indexes"] == 3
    with client(url) as user:
        user.execute("SET enable_seqscan = off")
        user.execute("SELECT * FROM orders WHERE venue_id = 'order-7'")

    async def used() -> dict[str, float] | None:
        found = await look(source)
        return found if found["index_scans_total:public.by_venue_id"] == 1 else None

    seen = await eventually(used)
    assert seen["unused_indexes"] == 2
    assert seen["unused_index_bytes"] == (
        seen["index_size_bytes:public.by_id"] + seen["index_size_bytes:public.by_upper"]
    )


async def test_without_any_privilege(
    server: Cluster, url: str, tmp_path: Path, owner: psycopg.Connection[object]
) -> None:
    """Widths of text are hidden from a role that may not read it: those estimates are absent."""
    stranger = PostgresqlStorage(entry(tmp_path, server, url, user="stranger"))
    seen = await look(stranger)
    assert "index_bloat_ratio:public.by_id" in seen
    assert "index_bloat_ratio:public.by_venue_id" not in seen
    assert seen["index_growth_ratio:public.by_venue_id"] == 1
    assert seen["table_live_rows:public.orders"] == ROWS
    assert seen["size_bytes"] > 0


async def test_the_largest_only(
    server: Cluster, url: str, tmp_path: Path, owner: psycopg.Connection[object]
) -> None:
    """However many there are, so many become series."""
    for number in range(30):
        owner.execute(f"CREATE TABLE small_{number} (a int)")
    few = PostgresqlStorage(
        entry(tmp_path, server, url, user="watcher", largest_tables=2, largest_indexes=1)
    )
    seen = await look(few)
    tables = [name for name in seen if name.startswith("table_size_bytes:")]
    assert len(tables) == 2
    assert "table_size_bytes:public.orders" in tables
    assert sum(name.startswith("index_size_bytes:") for name in seen) == 1


async def test_names_that_were_chosen_to_harm(
    source: PostgresqlStorage, owner: psycopg.Connection[object]
) -> None:
    """They become text that one can read."""
    owner.execute('CREATE TABLE "a\nb\x07\u202e" (a int)')
    seen = await look(source)
    assert "table_size_bytes:public.a?b??" in seen


async def test_no_connection_is_held_between_two_looks(
    source: PostgresqlStorage, server: Cluster, owner: psycopg.Connection[object]
) -> None:
    """A slot is worth more than the milliseconds to connect."""
    await look(source)
    held = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'trading-ops%'"
    await eventually(lambda: server.execute(held) == [(0,)])


def test_growth_is_against_the_best_that_was_seen() -> None:
    """Few rows are no base; an index that was rebuilt starts again."""
    growth = Growth()
    index, rebuilt = (1, 1), (1, 2)
    assert growth.ratios({index: (1000.0, 10.0)}) == {}
    assert growth.ratios({index: (40_000.0, 2000.0)}) == {index: 1.0}
    assert growth.ratios({index: (20_000.0, 2000.0)}) == {index: 1.0}
    assert growth.ratios({index: (40_000.0, 2000.0)}) == {index: 2.0}
    assert growth.ratios({index: (40_000.0, 0.0)}) == {index: 4000.0}
    assert growth.ratios({rebuilt: (40_000.0, 2000.0)}) == {rebuilt: 1.0}


def test_the_estimate_never_divides_by_nothing() -> None:
    """An index of no rows has two pages."""
    assert expected_bytes(0, 4, 90, 8192) == 2 * 8192
    assert expected_bytes(1_000_000, 8, 90, 8192) > expected_bytes(1_000_000, 8, 100, 8192)
