"""What an update that goes back must not undo, though nothing was traded."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from trading_ops.botkit.records.facts import get_fact, set_fact
from trading_ops.botkit.records.sqlite import SqliteDriver
from trading_ops.botkit.risk import guard
from trading_ops_lab.paper.bot import mode
from trading_ops_lab.supervisor.records_backup import CARRIED, copy_records, go_back, traded_since

STORED_MODE = mode.ModeRecord(mode=mode.Mode.PAPER, owner="ada", reason="something smells", at=2.0)


def test_the_names_are_the_bots() -> None:
    """The supervisor does not import the bot, so it has them as texts."""
    assert set(CARRIED) == {mode.FACT, guard.FACT}


def test_paper_and_losses_outlive_going_back(tmp_path: Path) -> None:
    """They are carried over; what else is in the records is that from before."""
    records = tmp_path / "bot.db"
    driver = SqliteDriver(records)
    driver.open()
    driver.transact(lambda session: set_fact(session, "risk", {"lost": "1"}, 1.0))
    driver.transact(lambda session: set_fact(session, "heartbeat", 1.0, 1.0))
    copy = copy_records(records, tmp_path / "copies", "x")
    driver.transact(lambda session: set_fact(session, "mode", STORED_MODE, 2.0))
    driver.transact(lambda session: set_fact(session, "risk", {"lost": "9"}, 2.0))
    driver.transact(lambda session: set_fact(session, "heartbeat", 2.0, 2.0))
    driver.close()
    assert not traded_since(records, copy)
    go_back(records, copy)
    driver = SqliteDriver(records)
    driver.open()
    assert (
        driver.transact(lambda session: get_fact(session, "mode", mode.ModeRecord)) == STORED_MODE
    )
    assert driver.transact(lambda session: get_fact(session, "risk", dict)) == {"lost": "9"}
    assert driver.transact(lambda session: get_fact(session, "heartbeat", float)) == 1.0
    driver.close()


def test_records_whose_facts_cannot_be_read_stay(tmp_path: Path) -> None:
    """What they say of paper and losses is not known, so nothing is put in their place."""
    records = tmp_path / "bot.db"
    driver = SqliteDriver(records)
    driver.open()
    copy = copy_records(records, tmp_path / "copies", "x")
    driver.close()
    with closing(sqlite3.connect(records)) as connection:
        connection.execute("ALTER TABLE facts RENAME TO known")
    with pytest.raises(sqlite3.Error, match="facts"):
        go_back(records, copy)
    with closing(sqlite3.connect(records)) as connection:
        assert connection.execute("SELECT count(*) FROM known").fetchone()
