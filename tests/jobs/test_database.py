"""Care of the database: what needs it is found, done with its reason, and then not needed."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from tests.databases import postgresql_only
from tests.jobs.conftest import Replica, Start
from tests.postgres import Cluster
from tests.waiting import eventually
from trading_ops.config.settings import Settings
from trading_ops.domain.job import JobOutcome
from trading_ops.errors import StoreError
from trading_ops.jobs.job import Context, load
from trading_ops.jobs.schedule import Cron
from trading_ops.store.care import LONG_TRANSACTION, DatabaseNeed, obstacle

JOBS = ("database_vacuum", "database_reindex")
Session = psycopg.Connection[Any]


def connect(url: str) -> Session:
    address = make_url(url).set(drivername="postgresql")
    return psycopg.connect(address.render_as_string(hide_password=False), autocommit=True)


@pytest.fixture
def session(database_url: str) -> Iterator[Session]:
    """A session of another program, one statement per transaction."""
    with connect(database_url) as made:
        yield made


@pytest.fixture
def other(database_url: str) -> Iterator[Session]:
    """One more, which holds locks."""
    with connect(database_url) as made:
        yield made


TARGETS = """\
version: 1
targets:
  - {name: reconciler, kind: reconciler, address: "127.0.0.1:1"}
  - {name: prometheus, kind: prometheus, address: "127.0.0.1:2"}
  - {name: alertmanager, kind: alertmanager, address: "127.0.0.1:3"}
"""


def context_of(replica: Replica, folder: Path, url: str, *, bots: str = "") -> Context:
    (folder / "targets.yml").write_text(TARGETS + bots)
    return Context(
        schedule=Cron(expression="0 0 * * *"),
        settings=Settings(
            root=folder, var=folder / "var", database=url, targets_file=folder / "targets.yml"
        ),
        writer=replica.scheduler.writer,
        reader=replica.scheduler.reader,
        timeout=timedelta(minutes=5),
    )


def make_dead_rows(session: Session) -> None:
    session.execute('CREATE TABLE "Many dead" (id int) WITH (autovacuum_enabled = false)')
    session.execute('INSERT INTO "Many dead" SELECT generate_series(1, 4000)')
    session.execute('DELETE FROM "Many dead" WHERE id <= 2000')


def make_invalid_index(session: Session) -> None:
    """As an interrupted build leaves it; then what stopped it is put right."""
    session.execute("CREATE TABLE twice (id int)")
    session.execute("INSERT INTO twice VALUES (1), (1)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        session.execute("CREATE UNIQUE INDEX CONCURRENTLY only_once ON twice (id)")
    session.execute("TRUNCATE twice")


@pytest.mark.parametrize("name", JOBS)
async def test_a_new_database_needs_nothing(
    start: Start, database_url: str, tmp_path: Path, name: str
) -> None:
    """SQLite never does."""
    async with start() as replica:
        context, job = context_of(replica, tmp_path, database_url), load(name)
        plan = await job.plan(context)
        assert (plan.steps, plan.refused) == ((), "")
        assert (await job.run(context)).outcome is JobOutcome.NOTHING_TO_DO


@postgresql_only
async def test_dead_rows_are_vacuumed(
    start: Start, database_url: str, tmp_path: Path, session: Session
) -> None:
    """The history has the table and how many rows; afterwards there is nothing to do."""
    make_dead_rows(session)
    session.close()  # the server counts what a session changed when it ends
    async with start() as replica:
        context, job = context_of(replica, tmp_path, database_url), load("database_vacuum")

        async def steps() -> Any:
            return (await job.plan(context)).steps

        (step,) = await eventually(steps)
        assert step.what == 'vacuum "Many dead"'
        result = await job.run(context)
        assert result.outcome is JobOutcome.DONE
        assert "2000 of 4000 rows are dead" in result.detail

        async def clean() -> bool:
            return not await steps()

        await eventually(clean)


@postgresql_only
async def test_an_invalid_index_is_rebuilt(
    start: Start, database_url: str, tmp_path: Path, session: Session
) -> None:
    """It is valid afterwards, and what it forbids is refused again."""
    make_invalid_index(session)
    async with start() as replica:
        context, job = context_of(replica, tmp_path, database_url), load("database_reindex")
        result = await job.run(context)
        assert (result.outcome, "rebuild index only_once" in result.detail) == (
            JobOutcome.DONE,
            True,
        )
        assert (await job.run(context)).outcome is JobOutcome.NOTHING_TO_DO
    valid = session.execute(
        "SELECT indisvalid FROM pg_index WHERE indexrelid='only_once'::regclass"
    )
    assert valid.fetchone() == (True,)


@postgresql_only
async def test_a_locked_table_fails_with_its_name(
    start: Start, database_url: str, tmp_path: Path, session: Session
) -> None:
    """Within the lock timeout, and nothing waits behind it."""
    make_invalid_index(session)
    async with start() as replica:
        context, job = context_of(replica, tmp_path, database_url), load("database_reindex")
        with session.transaction():
            session.execute("LOCK TABLE twice IN SHARE UPDATE EXCLUSIVE MODE")
            with pytest.raises(StoreError, match="only_once"):
                await job.run(context)
        assert (await job.run(context)).outcome is JobOutcome.DONE


@postgresql_only
async def test_a_cut_off_run_ends_its_statement(
    start: Start, database_url: str, tmp_path: Path, session: Session, other: Session
) -> None:
    """The server works on nothing when the job is over."""
    make_invalid_index(session)
    working = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'REINDEX%' AND state = 'active'"
    async with start() as replica:
        context, job = context_of(replica, tmp_path, database_url), load("database_reindex")
        with other.transaction():
            other.execute("LOCK TABLE twice IN SHARE UPDATE EXCLUSIVE MODE")
            task = asyncio.create_task(job.run(context))
            await eventually(lambda: task.done() or session.execute(working).fetchone())
            task.cancel()
            with pytest.raises((asyncio.CancelledError, StoreError)):
                await task
            await eventually(lambda: session.execute(working).fetchone() is None)


@postgresql_only
async def test_the_rest_of_an_interrupted_rebuild_is_dropped(
    start: Start, database_url: str, tmp_path: Path, session: Session
) -> None:
    """It is a second copy; the index that it was to replace is still there."""
    make_invalid_index(session)
    session.execute("ALTER INDEX only_once RENAME TO only_once_ccnew1")
    async with start() as replica:
        result = await load("database_reindex").run(context_of(replica, tmp_path, database_url))
    assert (result.outcome, "drop index" in result.detail) == (JobOutcome.DONE, True)
    assert session.execute("SELECT to_regclass('only_once_ccnew1')").fetchone() == (None,)


class _Oldest:
    """A database whose oldest transaction began at a moment."""

    def __init__(self, at: datetime | None) -> None:
        self.at = at

    def execute(self, _statement: object) -> "_Oldest":
        return self

    def scalar_one(self) -> datetime | None:
        return self.at


@pytest.mark.parametrize(
    ("owned", "open_for", "why"),
    [
        (True, None, ""),
        (True, LONG_TRANSACTION, ""),
        (True, LONG_TRANSACTION + timedelta(seconds=1), "transaction"),
        (False, None, "REINDEX a"),
    ],
)
def test_what_stands_in_the_way(owned: bool, open_for: timedelta | None, why: str) -> None:
    """Work without effect, or beyond our role, is refused with the fix."""
    now = datetime(2026, 5, 10, tzinfo=UTC)
    need = DatabaseNeed(what="", reason="", size=0, statement="REINDEX a", owned=owned)
    connection: Any = _Oldest(now - open_for if open_for is not None else None)
    found = obstacle(connection, [need], now)
    assert why in found
    assert bool(found) is bool(why)


BOT = """\
  - {{name: {0}, kind: bare_bot, address: "127.0.0.1:{1}", venue: kraken, database_file: {0}.url}}
"""
ALPHA, BETA = BOT.format("alpha", 4), BOT.format("beta", 5)


@pytest.fixture
def of_a_bot(postgres: Cluster) -> Iterator[str]:
    """The URL of a bot's database, as its owner."""
    url = postgres.new_database(migrated=False)
    yield url
    postgres.drop(url)


def name_databases(folder: Path, **urls: str) -> None:
    for name, url in urls.items():
        (folder / f"{name}.url").write_text(f"{url}\n")
        (folder / f"{name}.url").chmod(0o600)


async def test_the_database_of_a_bot_is_taken_care_of(
    start: Start, database_url: str, tmp_path: Path, of_a_bot: str
) -> None:
    """Wherever ours is; with the same rules, and named in the history."""
    with connect(of_a_bot) as session:
        make_dead_rows(session)
        make_invalid_index(session)
    name_databases(tmp_path, alpha=of_a_bot)
    async with start() as replica:
        context = context_of(replica, tmp_path, database_url, bots=ALPHA)
        vacuum, reindex = map(load, JOBS)

        async def dead() -> Any:
            return (await vacuum.plan(context)).steps

        (step,) = await eventually(dead)
        assert step.what == 'alpha: vacuum "Many dead"'
        assert [step.what for step in (await reindex.plan(context)).steps] == [
            "alpha: rebuild index only_once"
        ]
        for job in (vacuum, reindex):
            result = await job.run(context)
            assert (result.outcome, result.detail[:7]) == (JobOutcome.DONE, "alpha: ")
        assert (await reindex.run(context)).outcome is JobOutcome.NOTHING_TO_DO


async def test_one_database_that_is_away_does_not_stop_the_care_of_others(
    start: Start, database_url: str, tmp_path: Path, of_a_bot: str
) -> None:
    """The run fails and names it, without its password."""
    with connect(of_a_bot) as session:
        make_invalid_index(session)
    gone = "postgresql://ada:hush-hush@127.0.0.1:1/gone"
    name_databases(tmp_path, alpha=gone, beta=of_a_bot)
    async with start() as replica:
        context = context_of(replica, tmp_path, database_url, bots=ALPHA + BETA)
        job = load("database_reindex")
        with pytest.raises(StoreError, match="alpha: ") as error:
            await job.run(context)
        assert "beta: rebuild index only_once" in str(error.value)
        assert "hush-hush" not in str(error.value)
        name_databases(tmp_path, alpha="sqlite:///alpha.db")
        with pytest.raises(StoreError, match=r"alpha.url: .*PostgreSQL"):
            await job.run(context)


async def test_the_database_of_an_observed_bot_is_left_alone(
    start: Start, database_url: str, tmp_path: Path, of_a_bot: str
) -> None:
    """The history names it; its owner has decided so, so it is not reported each night."""
    with connect(of_a_bot) as session:
        make_invalid_index(session)
    name_databases(tmp_path, alpha=of_a_bot)
    watched = """\
  - {name: paper, kind: venue, address: "127.0.0.1:6"}
  - {name: alpha, kind: bot, address: "127.0.0.1:4", venue: paper, observe_only: true,
     database_file: alpha.url}
"""
    async with start() as replica:
        context = context_of(replica, tmp_path, database_url, bots=watched)
        result = await load("database_reindex").run(context)
        assert result.outcome is JobOutcome.NOTHING_TO_DO
        assert "alpha: observe-only" in result.detail
