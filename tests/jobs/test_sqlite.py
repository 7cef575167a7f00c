"""Care of the SQLite database: what needs it is found, done with its reason, then not needed."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from tests.databases import sqlite_only
from tests.free_ports import free_port
from tests.jobs.conftest import Replica, Start
from trading_ops.agent import Agent, Command, Health, Params
from trading_ops.config.secret_files import write_secret
from trading_ops.config.settings import Settings
from trading_ops.domain.job import JobOutcome
from trading_ops.errors import StoreError
from trading_ops.instrument import BotMetrics
from trading_ops.jobs.job import Context, load
from trading_ops.jobs.schedule import Cron
from trading_ops.store.engine import WAL_BYTES, reading_engine, writing_engine

JOB = load("database_optimize")
FILL = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})
INSERT INTO "Odd ""name" SELECT i, hex(randomblob(200)) FROM n
"""


def context_of(replica: Replica, folder: Path) -> Context:
    if not (folder / "targets.yml").exists():
        (folder / "targets.yml").write_text(TARGETS)
    return Context(
        settings=Settings(root=folder, var=folder / "var", targets_file=folder / "targets.yml"),
        writer=replica.scheduler.writer,
        reader=replica.scheduler.reader,
        schedule=Cron(expression="0 0 * * *"),
        timeout=timedelta(minutes=5),
    )


async def do(replica: Replica, *statements: str) -> None:
    def work(connection: Connection) -> None:
        for statement in statements:
            connection.exec_driver_sql(statement)

    await replica.scheduler.writer.run(work)


async def pragma(replica: Replica, name: str) -> Any:
    return await replica.scheduler.reader.read(
        lambda connection: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
    )


async def make(replica: Replica, rows: int) -> None:
    table = 'CREATE TABLE IF NOT EXISTS "Odd ""name" (a INTEGER, b TEXT)'
    index = 'CREATE INDEX IF NOT EXISTS odd ON "Odd ""name" (a)'
    await do(replica, table, index, FILL.format(rows))


async def test_a_new_database_needs_nothing(start: Start, tmp_path: Path) -> None:
    """PostgreSQL never does."""
    async with start() as replica:
        context = context_of(replica, tmp_path)
        assert (await JOB.plan(context)).steps == ()
        assert (await JOB.run(context)).outcome is JobOutcome.NOTHING_TO_DO


@sqlite_only
async def test_statistics_are_made_and_renewed(start: Start, tmp_path: Path) -> None:
    """At first, and after ten times as many rows; not for each new row."""
    async with start() as replica:
        context = context_of(replica, tmp_path)
        await make(replica, 999)
        assert (await JOB.plan(context)).steps == ()
        await make(replica, 1)
        (step,) = (await JOB.plan(context)).steps
        assert (step.what, step.reason) == ('analyze Odd "name', "1000 rows and no statistics")
        assert (await JOB.run(context)).outcome is JobOutcome.DONE
        await make(replica, 3000)
        assert (await JOB.plan(context)).steps == ()
        await make(replica, 20_000)
        done = await JOB.run(context)
        assert "24000 rows, and statistics from about 1000" in done.detail
        assert (await JOB.plan(context)).steps == ()


@sqlite_only
async def test_free_pages_are_returned(start: Start, tmp_path: Path, database_url: str) -> None:
    """The file gets smaller, and what is left in it is intact."""
    async with start() as replica:
        context = context_of(replica, tmp_path)
        await make(replica, 20_000)
        await JOB.run(context)
        await do(replica, 'DELETE FROM "Odd ""name" WHERE a > 18000')
        assert (await JOB.plan(context)).steps == ()
        await do(replica, 'DELETE FROM "Odd ""name" WHERE a > 5000')
        before = await pragma(replica, "page_count")
        (step,) = (await JOB.plan(context)).steps
        assert "MB" in step.estimate
        done = await JOB.run(context)
        assert "pages are free" in done.detail
        assert await pragma(replica, "freelist_count") == 0
        assert await pragma(replica, "page_count") < before / 2
        assert await pragma(replica, "integrity_check") == "ok"
        assert (await JOB.run(context)).outcome is JobOutcome.NOTHING_TO_DO


@sqlite_only
def test_the_wal_gets_smaller_after_a_long_read(database_url: str) -> None:
    """A reader keeps the WAL from being written back; when it ends, the file is cut off."""
    wal = Path(f"{database_url.removeprefix('sqlite:///')}-wal")
    writer, reader = writing_engine(database_url), reading_engine(database_url)

    def write(size: int) -> None:
        with writer.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS t (a)")
            connection.exec_driver_sql("DELETE FROM t")
            connection.exec_driver_sql(f"INSERT INTO t VALUES (zeroblob({size}))")  # noqa: S608

    write(1)
    with reader.connect() as reading:
        reading.exec_driver_sql("SELECT * FROM t").all()
        while wal.stat().st_size <= WAL_BYTES:
            write(WAL_BYTES // 4)
    write(WAL_BYTES // 8)
    write(1)
    assert wal.stat().st_size <= WAL_BYTES
    writer.dispose()
    reader.dispose()


TARGETS = """\
version: 1
targets:
  - {name: reconciler, kind: reconciler, address: "127.0.0.1:1"}
  - {name: prometheus, kind: prometheus, address: "127.0.0.1:2"}
  - {name: alertmanager, kind: alertmanager, address: "127.0.0.1:3"}
  - {name: paper, kind: venue, address: "127.0.0.1:4"}
"""
BOT = "  - {{name: {}, kind: bot, address: '127.0.0.1:{}', venue: paper}}\n"


Optimize = Callable[[], Awaitable[str]]
DONE = "analyze orders: 5000 rows and no statistics"


@contextmanager
def running_bots(folder: Path, **bots: Optimize | None) -> Iterator[None]:
    """Run agents that offer the command, or not (None), and list them in targets.yml."""
    ports = {name: free_port() for name in bots}
    entries = (BOT.format(name, port) for name, port in ports.items())
    (folder / "targets.yml").write_text(TARGETS + "".join(entries))
    (folder / "var" / "secrets").mkdir(parents=True)
    with ExitStack() as stack:
        for name, optimize in bots.items():
            write_secret(folder / "var" / "secrets" / f"agent_token_{name}", "agent")
            (folder / name).mkdir()
            agent = Agent(
                name=name,
                address=("127.0.0.1", ports[name]),
                metrics=BotMetrics(version="1", mode="paper"),
                health=Health,
                commands=_offer(optimize) if optimize else {},
                state_dir=folder / name,
                metrics_token="metrics",
                agent_token="agent",
            )
            agent.start()
            stack.callback(agent.stop)
        yield


def _offer(optimize: Optimize) -> dict[str, Command]:
    async def run(_params: Params) -> str:
        return await optimize()

    return {"optimize_records": Command(run=run)}


@pytest.mark.parametrize("offered", [True, False])
async def test_a_bot_takes_care_of_its_own_records(
    start: Start, tmp_path: Path, *, offered: bool
) -> None:
    """On the job's command, if it has one: a second writer could damage its file."""

    async def optimize() -> str:
        return DONE

    with running_bots(tmp_path, alpha=optimize if offered else None):
        async with start() as replica:
            result = await JOB.run(context_of(replica, tmp_path))
    assert result.outcome is (JobOutcome.DONE if offered else JobOutcome.NOTHING_TO_DO)
    assert (f"alpha: {DONE}" in result.detail) is offered


async def test_a_plan_sends_no_bot_a_command(start: Start, tmp_path: Path) -> None:
    """A viewer may ask for it, and the bot's check could delay its orders."""
    asked = []

    async def optimize() -> str:
        asked.append("alpha")
        return DONE

    with running_bots(tmp_path, alpha=optimize):
        async with start() as replica:
            plan = await JOB.plan(context_of(replica, tmp_path))
    assert asked == []
    assert (plan.refused, [step.what for step in plan.steps]) == ("", ["alpha: optimize_records"])


async def test_a_slow_bot_does_not_keep_the_next_one_waiting(start: Start, tmp_path: Path) -> None:
    beta_asked = threading.Event()

    async def slow() -> str:
        await asyncio.to_thread(beta_asked.wait, 30)
        return DONE

    async def prompt() -> str:
        beta_asked.set()
        return DONE

    with running_bots(tmp_path, alpha=slow, beta=prompt):
        async with start() as replica:
            result = await JOB.run(context_of(replica, tmp_path))
    assert (result.outcome, result.detail.count(DONE)) == (JobOutcome.DONE, 2)


async def test_a_bot_that_hangs_does_not_use_up_the_time_of_the_job(
    start: Start, tmp_path: Path
) -> None:
    """The run ends before its own limit, and tells what was done."""
    end = threading.Event()

    async def hang() -> str:
        await asyncio.to_thread(end.wait, 60)
        return DONE

    async def prompt() -> str:
        return DONE

    with running_bots(tmp_path, alpha=hang, beta=prompt):
        async with start() as replica:
            context = replace(context_of(replica, tmp_path), timeout=timedelta(seconds=3))
            with pytest.raises(StoreError, match=r"alpha: .*beta: analyze orders"):
                await JOB.run(context)
        end.set()


@pytest.mark.parametrize("is_away", [True, False], ids=["away", "without a token"])
async def test_a_bot_that_cannot_be_asked_fails_the_run(
    start: Start, tmp_path: Path, *, is_away: bool
) -> None:
    """With its name; the others are still asked."""

    async def prompt() -> str:
        return DONE

    with running_bots(tmp_path, beta=prompt):
        with (tmp_path / "targets.yml").open("a") as targets:
            targets.write(BOT.format("alpha", free_port()))
        if is_away:
            write_secret(tmp_path / "var" / "secrets" / "agent_token_alpha", "agent")
        async with start() as replica:
            with pytest.raises(StoreError, match=r"alpha: .*beta: analyze orders"):
                await JOB.run(context_of(replica, tmp_path))
