"""Copies a bot's SQLite records before an update, and checks whether they may be restored."""

import contextlib
import sqlite3
from pathlib import Path

from trading_ops import durable

KEPT = 3
"""Number of copies kept per unit."""

PARTS = ("", "-wal", "-shm")
COMPARED = (
    "SELECT count(*), max(created_at) FROM orders",
    "SELECT count(*), max(at) FROM fills",
    "SELECT count(*) FROM adopted",
    "SELECT symbol, quantity, cost, realized FROM positions ORDER BY symbol",
    "SELECT currency, amount FROM expected_balances ORDER BY currency",
)
"""Tables that change when the bot trades."""

CARRIED = ("mode", "risk")
"""Facts that are carried over into a restored copy: the paper or live mode, and the losses so far.

They change without a trade, the losses with each price, so comparing them would prevent every
rollback. A release that cannot read what the newer one wrote sends no orders.
"""


def copy_records(records: Path, folder: Path, name: str) -> Path:
    """Copy a complete database, including its WAL; durable when this returns.

    Raises:
        OSError: there is no space, or a folder cannot be written.
        sqlite3.Error: it cannot be read.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in sorted(folder.glob("before-*.db"), key=lambda path: path.stat().st_mtime)[
        : -KEPT + 1
    ]:
        old.unlink()
    target = folder / f"before-{name}.db"
    _copy(records, target)
    return target


def version(records: Path) -> int:
    """Return the version of the tables.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    with _reading(records) as connection:
        row = connection.execute("SELECT max(version) FROM schema_version").fetchone()
    return int(row[0] or 0)


def traded_since(records: Path, copy: Path) -> bool:
    """Return whether orders, fills, positions or balances differ; True if unreadable."""
    try:
        return _traces(records) != _traces(copy)
    except sqlite3.Error:
        return True


def go_back(records: Path, copy: Path) -> Path:
    """Replace the records by a copy; return the path of the replaced records.

    The mode and the losses since are carried over into the copy.

    Raises:
        OSError: a file could not be moved or written.
        sqlite3.Error: the copy, or what is carried over from the records, cannot be read.
    """
    aside = copy.with_name(copy.name.replace("before-", "after-"))
    fresh = records.with_name(f".{records.name}.new")
    fresh.unlink(missing_ok=True)
    _copy(copy, fresh)
    _carry_over(records, fresh)
    for part in PARTS:
        with contextlib.suppress(FileNotFoundError):
            Path(f"{records}{part}").replace(f"{aside}{part}")
    fresh.replace(records)
    durable.sync(records.parent)
    return aside


def _traces(path: Path) -> list[list[tuple[object, ...]]]:
    with _reading(path) as connection:
        return [connection.execute(query).fetchall() for query in COMPARED]


def _reading(path: Path) -> "contextlib.closing[sqlite3.Connection]":
    return contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True))


def _copy(source: Path, target: Path) -> None:
    with _reading(source) as old, contextlib.closing(sqlite3.connect(target)) as new:
        old.backup(new)
    target.chmod(0o600)
    durable.sync(target)
    durable.sync(target.parent)


def _carry_over(source: Path, target: Path) -> None:
    named = ", ".join("?" for _ in CARRIED)
    query = f"SELECT name, value, at FROM facts WHERE name IN ({named})"  # noqa: S608 - only marks
    with _reading(source) as newer:
        found = newer.execute(query, CARRIED).fetchall()
    with contextlib.closing(sqlite3.connect(target)) as older, older:
        older.executemany("REPLACE INTO facts (name, value, at) VALUES (?, ?, ?)", found)
    durable.sync(target)
