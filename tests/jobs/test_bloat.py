"""An index that grew to twice its own baseline is rebuilt, if there is space for its copy."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.databases import postgresql_only
from tests.jobs.conftest import Replica, Start
from tests.jobs.test_database import Session, connect, context_of
from tests.postgres import Cluster
from trading_ops.domain.job import JobOutcome
from trading_ops.jobs.job import Context, load
from trading_ops.jobs.work.database_report import DatabaseReport
from trading_ops.store import care
from trading_ops.store.care import DatabaseNeed, without_space

ROWS = 100_000
INDEX = "fills_at"


@pytest.fixture
def sees_disk(postgres: Cluster, database_url: str) -> Iterator[None]:
    """Our role, which the first database creates, may see where the server's data are."""
    del database_url
    postgres.execute("GRANT pg_read_all_settings TO trading_ops")
    yield
    postgres.execute("REVOKE pg_read_all_settings FROM trading_ops")


@pytest.fixture
def session(database_url: str) -> Iterator[Session]:
    with connect(database_url) as made:
        made.execute("CREATE TABLE fills (id int, at int) WITH (autovacuum_enabled = false)")
        made.execute(f"INSERT INTO fills SELECT n, n FROM generate_series(1, {ROWS}) n")  # noqa: S608
        count_at_once(made)
        made.execute(f"CREATE INDEX {INDEX} ON fills (at)")
        made.execute("VACUUM ANALYZE fills")
        yield made


def count_at_once(session: Session) -> None:
    """Otherwise the server counts changed rows up to a second later, after a VACUUM."""
    session.execute("SELECT pg_stat_force_next_flush()")


def bloat(session: Session) -> None:
    """Most rows go, as with retention; their space in the index stays."""
    session.execute("DELETE FROM fills WHERE id % 4 <> 0")
    count_at_once(session)
    session.execute("VACUUM ANALYZE fills")


def size(session: Session) -> int:
    row = session.execute("SELECT pg_relation_size(%s::regclass)", (INDEX,)).fetchone()
    assert row is not None
    return int(row[0])


async def report(replica: Replica, folder: Path, url: str) -> Context:
    """Make the nightly report, which records the baselines."""
    context = context_of(replica, folder, url)
    await DatabaseReport().run(context)
    return context


@postgresql_only
@pytest.mark.usefixtures("sees_disk")
async def test_a_bloated_index_is_rebuilt_once(
    start: Start, database_url: str, tmp_path: Path, session: Session
) -> None:
    """The rebuilt one has a baseline of its own, with which it is not bloated."""
    async with start() as replica:
        context, job = await report(replica, tmp_path, database_url), load("database_reindex")
        assert (await job.run(context)).outcome is JobOutcome.NOTHING_TO_DO
        bloat(session)
        before = size(session)
        (step,) = (await job.plan(context)).steps
        assert step.what == f"rebuild index {INDEX}"
        result = await job.run(context)
        assert (result.outcome, "bloated" in result.detail) == (JobOutcome.DONE, True)
        assert size(session) < before / 2
        await report(replica, tmp_path, database_url)
        assert (await job.run(context)).outcome is JobOutcome.NOTHING_TO_DO


@postgresql_only
async def test_without_a_baseline_nothing_is_bloated(
    start: Start, database_url: str, tmp_path: Path, session: Session
) -> None:
    """An index is compared with itself only."""
    bloat(session)
    async with start() as replica:
        context = await report(replica, tmp_path, database_url)
        plan = await load("database_reindex").plan(context)
        assert (plan.steps, plan.refused) == ((), "")


@postgresql_only
async def test_unknown_free_space_refuses_with_the_statement(
    start: Start, database_url: str, tmp_path: Path, session: Session
) -> None:
    """Our role may not see the server's folder; an invalid index is still put right."""
    async with start() as replica:
        context, job = await report(replica, tmp_path, database_url), load("database_reindex")
        bloat(session)
        result = await job.run(context)
        assert result.outcome is JobOutcome.REFUSED
        assert f"REINDEX INDEX CONCURRENTLY {INDEX}" in result.detail
        assert (await job.plan(context)).refused == result.detail
        session.execute("CREATE TABLE twice (id int)")
        session.execute("INSERT INTO twice VALUES (1), (1)")
        with pytest.raises(psycopg.errors.UniqueViolation):
            session.execute("CREATE UNIQUE INDEX CONCURRENTLY only_once ON twice (id)")
        session.execute("TRUNCATE twice")
        result = await job.run(context)
        assert result.outcome is JobOutcome.DONE
        assert "rebuild index only_once" in result.detail
        assert "free space" in result.detail


@postgresql_only
@pytest.mark.usefixtures("sees_disk")
async def test_an_open_transaction_refuses(
    start: Start,
    database_url: str,
    tmp_path: Path,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The rebuild would wait for its end, and hold back VACUUM meanwhile."""
    monkeypatch.setattr(care, "LONG_TRANSACTION", -care.LONG_TRANSACTION)
    async with start() as replica:
        context = await report(replica, tmp_path, database_url)
        bloat(session)
        with connect(database_url) as other:
            other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            other.execute("SELECT count(*) FROM fills")
            result = await load("database_reindex").run(context)
        assert (result.outcome, "transaction is open" in result.detail) == (
            JobOutcome.REFUSED,
            True,
        )


def needs(*space: int) -> list[DatabaseNeed]:
    return [
        DatabaseNeed(
            what="", reason="", size=1, statement=f"REINDEX {number}", owned=True, space=bytes_
        )
        for number, bytes_ in enumerate(space)
    ]


@pytest.mark.parametrize(
    ("free", "run", "why"),
    [
        (None, ["REINDEX 0"], "not known"),
        (10, ["REINDEX 0"], "REINDEX 1; REINDEX 2"),
        (100, ["REINDEX 0", "REINDEX 1"], "REINDEX 2"),
        (500, ["REINDEX 0", "REINDEX 1", "REINDEX 2"], ""),
    ],
)
def test_what_has_no_space_does_not_run(free: int | None, run: list[str], why: str) -> None:
    """What needs no space always runs."""
    found: tuple[Any, str] = without_space(needs(0, 100, 500), free)
    assert [need.statement for need in found[0]] == run
    assert (why in found[1], bool(found[1])) == (True, bool(why))
