"""Page-only faults: they break what they say, and leave nothing behind."""

import asyncio
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.waiting import eventually
from trading_ops.cli.exporter_config import SYMBOLS
from trading_ops.config.loading import load_settings
from trading_ops.domain.target import Target
from trading_ops.errors import Refused, StackError
from trading_ops.reconciler.runbook_index import load_runbooks
from trading_ops_lab.drills.gameday import SIDE_BY_SIDE, SITTINGS
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.faults.base import Fault
from trading_ops_lab.faults.catalogue import FAULTS
from trading_ops_lab.faults.closed_markets import ClosedMarkets
from trading_ops_lab.faults.locked_sqlite import LockedStore
from trading_ops_lab.faults.shared import Shared

BOT = cast(Target, SimpleNamespace(name="alpha"))


class Port:
    """A venue's fault port, and the stack around it."""

    def __init__(self, *, most: int = 10) -> None:
        """Take how many faults it grants."""
        self.closed: list[str] = []
        self._most = most

    def faults(self, bot: Target) -> "Port":
        """Return itself."""
        assert bot is BOT
        return self

    async def inject(self, kind: str, *, pair: str, status: str) -> str:
        """Close a market.

        Raises:
            Refused: that were too many.
        """
        assert (kind, status) == ("pair_status", "cancel_only")
        if len(self.closed) == self._most:
            raise Refused("no more")
        self.closed.append(pair)
        return pair

    async def clear(self, key: str) -> None:
        """Open it."""
        self.closed.remove(key)


async def test_every_watched_market_is_closed_and_opened_again() -> None:
    """One that stays open would keep the alert from firing."""
    port = Port()
    key = await ClosedMarkets().inject(cast(Any, port), BOT)
    assert port.closed == list(SYMBOLS)
    await ClosedMarkets().clean_up(cast(Any, port), BOT, key)
    assert port.closed == []


async def test_a_market_that_cannot_be_closed_leaves_none_closed() -> None:
    """The drill has no key then with which it could clean up."""
    port = Port(most=1)
    with pytest.raises(Refused):
        await ClosedMarkets().inject(cast(Any, port), BOT)
    assert port.closed == []


def store(url: str) -> Scene:
    """Return a stack whose reconciler has this database."""
    return cast(Scene, SimpleNamespace(settings=SimpleNamespace(database_url=url)))


async def test_no_one_writes_to_the_locked_store_until_it_is_given_back(tmp_path: Path) -> None:
    """And it can be read all the while."""
    path = tmp_path / "reconciler.db"
    with sqlite3.connect(path, timeout=0) as other:
        other.execute("CREATE TABLE notes (text TEXT)")
    fault, scene = LockedStore(), store(f"sqlite:///{path}")
    key = await fault.inject(scene, BOT)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("INSERT INTO notes VALUES ('a')")
    assert other.execute("SELECT count(*) FROM notes").fetchone() == (0,)
    await fault.clean_up(scene, BOT, key)
    other.execute("INSERT INTO notes VALUES ('a')")
    other.close()


async def test_a_store_that_is_no_file_is_not_locked() -> None:
    """Nothing is broken in a database that others may share."""
    with pytest.raises(StackError, match="not a SQLite file"):
        await LockedStore().inject(store("postgresql+psycopg://here/store"), BOT)


class Counted(Fault):
    """A fault that tells how often it was broken and fixed."""

    describe = "counted"
    blocks_notifications = True

    def __init__(self, *, refuses: bool = False) -> None:
        """Start whole."""
        self.calls: list[str] = []
        self.refuses = refuses

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Break it.

        Raises:
            StackError: it refuses.
        """
        del scene, bot
        await asyncio.sleep(0)
        if self.refuses:
            raise StackError("not today")
        self.calls.append("broken")
        return "key"

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Fix it."""
        del scene, bot
        self.calls.append(f"fixed with {key}")


async def test_a_shared_fault_is_repaired_once_by_the_last_and_all_wait_for_it() -> None:
    """A drill that continued before would take another's fault for its own fix."""
    inner, scene = Counted(), cast(Scene, None)
    shared = Shared(inner)
    assert (shared.blocks_notifications, shared.describe) == (True, "counted")
    for _ in range(2):  # the next game day too
        inner.calls.clear()
        keys = await asyncio.gather(*(shared.inject(scene, BOT) for _ in range(3)))
        assert inner.calls == ["broken"]
        first = [asyncio.create_task(shared.clean_up(scene, BOT, key)) for key in keys[:2]]
        await asyncio.sleep(0)
        assert (inner.calls, [task.done() for task in first]) == (["broken"], [False, False])
        await shared.clean_up(scene, BOT, keys[2])
        await asyncio.gather(*first)
        assert inner.calls == ["broken", "fixed with key"]


async def test_a_shared_fault_that_cannot_be_broken_fails_for_all_and_can_be_tried_again() -> None:
    """What has failed is not remembered."""
    inner, scene = Counted(refuses=True), cast(Scene, None)
    shared = Shared(inner)
    failed = await asyncio.gather(
        *(shared.inject(scene, BOT) for _ in range(2)), return_exceptions=True
    )
    assert [str(error) for error in failed] == ["not today"] * 2
    inner.refuses = False
    assert await shared.inject(scene, BOT) == "key"


async def test_a_drill_that_is_given_up_does_not_keep_the_others_waiting() -> None:
    """It leaves, and anyone who is left fixes it."""
    inner, scene = Counted(), cast(Scene, None)
    shared = Shared(inner)
    given_up = asyncio.create_task(shared.inject(scene, BOT))
    await asyncio.sleep(0)
    key = asyncio.create_task(shared.inject(scene, BOT))
    given_up.cancel()
    await eventually(key.done, what="the other to have broken it")
    await shared.clean_up(scene, BOT, await key)
    assert inner.calls == ["broken", "fixed with key"]


def test_no_drill_runs_twice_at_once_and_all_of_a_batch_are_page_only() -> None:
    """What leads to recovery is drilled alone: another's fault would be in its way."""
    books = load_runbooks(load_settings(environ={}).runbooks)
    assert sum(map(len, SITTINGS)) == len(SIDE_BY_SIDE)
    for alert in SIDE_BY_SIDE:
        assert books[alert].drill is not None
        assert not books[alert].steps


def test_a_fault_that_two_drills_of_a_sitting_have_is_a_shared_one() -> None:
    """Else the first that is over would fix it under the other."""
    books = load_runbooks(load_settings(environ={}).runbooks)
    for sitting in SITTINGS:
        plans = [plan.fault for alert in sitting if (plan := books[alert].drill)]
        shared = {fault for fault in plans if plans.count(fault) > 1}
        assert all(isinstance(FAULTS[fault], Shared) for fault in shared)


def left_in(folder: Path) -> list[Path]:
    """Return what is in a folder."""
    return list(folder.iterdir())
