"""The reconciler as it is built in production: a halt leaves it whatever its database is like."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.builders import make_registry
from tests.free_ports import free_port
from tests.postgres import Cluster
from tests.service.holds.bots import RealAgent
from trading_ops.app.build import Reconciler, build
from trading_ops.app.process import serve
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.main import run
from trading_ops.config.settings import Settings
from trading_ops.config.targets import load_targets
from trading_ops.domain.target import Registry, Target
from trading_ops.errors import StoreError
from trading_ops.store import holds
from trading_ops.store.journal import Journal

FULL = (
    "CREATE TRIGGER full BEFORE INSERT ON events "
    "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
)
ADA = {"owner": "ada", "reason": "odd fills"}
TARGETS = """\
version: 1
targets:
  - {{name: paper, kind: venue, address: "127.0.0.1:{free[0]}"}}
  - {{name: alpha, kind: bot, address: "{agent}", venue: paper}}
  - {{name: reconciler, kind: reconciler, address: "127.0.0.1:{free[1]}"}}
  - {{name: supervisor, kind: supervisor, address: "127.0.0.1:{free[2]}"}}
  - {{name: prometheus, kind: prometheus, address: "127.0.0.1:{free[3]}"}}
  - {{name: alertmanager, kind: alertmanager, address: "127.0.0.1:{free[4]}"}}
  - {{name: oncall-mailbox, kind: mail, address: "127.0.0.1:{free[5]}"}}
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "runbooks").mkdir()
    secrets = tmp_path / "var" / "secrets"
    secrets.mkdir(parents=True)
    for name in ("agent", "supervisor", "webhook", "metrics", "operator"):
        (secrets / f"{name}_token").write_text(name)
    (secrets / "audit_key").write_text("audit")
    return Settings(root=tmp_path, var=tmp_path / "var", runbooks=tmp_path / "runbooks")


@pytest.fixture
def registry(bot: RealAgent) -> Registry:
    return make_registry(alpha=bot.address)


def alpha(registry: Registry) -> Target:
    found = registry.find("alpha")
    assert found is not None
    return found


def database(settings: Settings) -> Path:
    return settings.var / "reconciler" / "reconciler.db"


@contextlib.contextmanager
def locked(settings: Settings) -> Iterator[None]:
    """Keep the database locked, as another program may."""
    connection = sqlite3.connect(database(settings), isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


async def active_holds(reconciler: Reconciler) -> set[str]:
    found = await reconciler.holding._memory._reader.read(holds.active)
    return {hold.id for hold in found}


async def test_the_database_is_locked_by_another(
    settings: Settings, registry: Registry, bot: RealAgent
) -> None:
    """Halted at once, journalled within seconds, settled when the lock is gone, no restart."""
    async with build(settings, registry) as reconciler:
        with locked(settings):
            placed = await reconciler.holding.place(alpha(registry), "halted", **ADA)
            assert (placed.stored, bot.state) == (True, "halted")
            assert [entry["id"] for entry in Journal(settings.journal).entries()] == [placed.id]
        while reconciler.holding.unsettled:
            await reconciler.holding.settle_journal()
        assert await active_holds(reconciler) == {placed.id}
        assert Journal(settings.journal).entries() == []


async def test_killed_before_the_journal_was_settled(
    settings: Settings, registry: Registry, bot: RealAgent
) -> None:
    """The bot was down, the database broken, the reconciler dies: its next life places the halt."""
    bot.stop()
    async with build(settings, registry) as reconciler:
        rename = "ALTER TABLE {} RENAME TO {}"
        writer = reconciler.holding._memory._writer
        await writer.run(lambda c: c.exec_driver_sql(rename.format("holds", "gone")))
        placed = await reconciler.holding.place(alpha(registry), "halted", **ADA)
        assert (placed.stored, placed.acknowledged) == (True, False)
        await writer.run(lambda c: c.exec_driver_sql(rename.format("gone", "holds")))
    bot.start()
    async with build(settings, registry) as reconciler:
        await reconciler.holding.settle_journal()
        await reconciler.holding.enforce()
        assert await active_holds(reconciler) == {placed.id}
        assert (bot.state, bot.holds) == ("halted", {placed.id})


async def test_the_disk_takes_nothing(
    settings: Settings, registry: Registry, bot: RealAgent
) -> None:
    """Neither the database nor the journal can be written: the halt goes out, and that is said."""
    async with build(settings, registry) as reconciler:
        writer = reconciler.holding._memory._writer
        await writer.run(lambda c: c.exec_driver_sql(FULL))
        settings.journal.mkdir()
        placed = await reconciler.holding.place(alpha(registry), "halted", **ADA)
        assert (placed.stored, placed.acknowledged, bot.state) == (False, True, "halted")
        settings.journal.rmdir()
        await reconciler.holding.settle_journal()
        assert reconciler.holding.unsettled == 1
        await writer.run(lambda c: c.exec_driver_sql("DROP TRIGGER full"))
        await reconciler.holding.settle_journal()
        assert await active_holds(reconciler) == {placed.id}


async def test_started_while_postgresql_is_away(
    settings: Settings,
    bot: RealAgent,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It exits with one sentence; a halt is sent directly to the bot, and stays after recovery."""
    (tmp_path / "targets.yml").write_text(
        TARGETS.format(agent=bot.address, free=[free_port() for _ in range(6)])
    )
    monkeypatch.setenv("TRADING_OPS_ROOT", str(tmp_path))
    registry = load_targets(tmp_path / "targets.yml")
    with Cluster(fast=True) as cluster:
        there = replace(settings, database=cluster.new_database())
        await asyncio.to_thread(cluster.stop)
        began = time.monotonic()
        with pytest.raises(StoreError, match="the database cannot be"):
            await serve(there, registry, asyncio.Event())
        assert time.monotonic() - began < 30
        command = ["halt", "alpha", "--reason", "odd fills", "--owner", "ada"]
        assert await asyncio.to_thread(run, command) == ExitCode.OK
        assert "to the bot directly" in capsys.readouterr().err
        assert bot.state == "halted"
        await asyncio.to_thread(cluster.start)
        async with build(there, registry) as reconciler:
            await reconciler.holding.enforce()
            assert await active_holds(reconciler) == bot.holds
