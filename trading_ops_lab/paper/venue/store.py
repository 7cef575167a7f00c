"""What survives `kill -9`: one SQLite file, written by the venue's only thread.

Changes collect in SQLite's open transaction; `commit` makes one request or one price tick durable
as a whole: nonce, order, trades, balances and journal entries together. WAL with
synchronous=NORMAL survives the death of the process. Only a power loss can lose the last commits,
which is good enough for play money and keeps a commit at about ten microseconds.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from trading_ops.errors import StoreError
from trading_ops_lab.paper.venue.candles import Candle
from trading_ops_lab.paper.venue.ledger import LedgerEntry
from trading_ops_lab.paper.venue.orders import Order, Trade

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS nonces (key TEXT PRIMARY KEY, highest TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS balances (
    account TEXT, asset TEXT, amount TEXT NOT NULL, PRIMARY KEY (account, asset));
CREATE TABLE IF NOT EXISTS orders (
    id TEXT PRIMARY KEY, account TEXT NOT NULL, status TEXT NOT NULL, closed_at REAL,
    body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS orders_by_account ON orders (account, status, closed_at);
CREATE INDEX IF NOT EXISTS open_orders ON orders (id) WHERE status = 'open';
CREATE TABLE IF NOT EXISTS trades (
    number INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, account TEXT NOT NULL,
    time REAL NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS trades_by_account ON trades (account, time);
CREATE TABLE IF NOT EXISTS ledger (
    number INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, account TEXT NOT NULL,
    asset TEXT NOT NULL, kind TEXT NOT NULL, time REAL NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS ledger_by_account ON ledger (account, time);
CREATE TABLE IF NOT EXISTS switches (account TEXT PRIMARY KEY, deadline REAL NOT NULL);
CREATE TABLE IF NOT EXISTS candles (
    pair TEXT, start INTEGER, body BLOB NOT NULL, PRIMARY KEY (pair, start));
CREATE TABLE IF NOT EXISTS faults (id TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS journal (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, event TEXT NOT NULL,
    body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS journal_by_time ON journal (time, seq);
"""

LOCK_SECONDS: Final = 1.0
"""Timeout for another venue to release the file."""

T = TypeVar("T")
encode = msgspec.json.Encoder().encode


class Store:
    """Stores and loads values; has no rules of the venue."""

    def __init__(self, path: Path) -> None:
        """Open the file; create it if it is missing.

        Raises:
            StoreError: it cannot be opened, or another venue has it.
        """
        try:
            self.connection = sqlite3.connect(path, timeout=LOCK_SECONDS)
            self.connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            self.connection.execute("PRAGMA journal_mode=WAL")
            self.connection.execute("PRAGMA synchronous=NORMAL")
            self.connection.executescript(SCHEMA)
        except sqlite3.Error as error:
            raise StoreError(f"{path}: {error}; is another venue running on it?") from error

    def commit(self) -> None:
        """Make all changes since the last commit durable, together."""
        self.connection.commit()

    def close(self) -> None:
        """Roll back uncommitted changes, and close the file."""
        self.connection.rollback()
        self.connection.close()

    def fact(self, name: str, kind: type[T]) -> T | None:
        """Return a single value, or None when it was never saved."""
        row = self._one("SELECT body FROM facts WHERE name = ?", name)
        return None if row is None else msgspec.json.decode(row[0], type=kind)

    def save_fact(self, name: str, value: object) -> None:
        """Save a single value."""
        self._write("INSERT OR REPLACE INTO facts VALUES (?, ?)", name, encode(value))

    def nonces(self) -> dict[str, int]:
        """Return the highest nonce of each key."""
        return {key: int(highest) for key, highest in self._all("SELECT * FROM nonces")}

    def save_nonce(self, key: str, nonce: int) -> None:
        """Save the highest nonce of a key; text, since it can exceed SQLite's integers."""
        self._write("INSERT OR REPLACE INTO nonces VALUES (?, ?)", key, str(nonce))

    def balances(self, account: str) -> dict[str, Decimal]:
        """Return the balances of an account; empty for a new one."""
        rows = self._all("SELECT asset, amount FROM balances WHERE account = ?", account)
        return {asset: Decimal(amount) for asset, amount in rows}

    def save_balance(self, account: str, asset: str, amount: Decimal) -> None:
        """Save one amount."""
        query = "INSERT OR REPLACE INTO balances VALUES (?, ?, ?)"
        self._write(query, account, asset, format(amount, "f"))

    def open_orders(self, account: str) -> list[Order]:
        """Return the open orders of an account, unordered."""
        query = "SELECT body FROM orders WHERE status = 'open' AND account = ?"
        return [msgspec.json.decode(body, type=Order) for (body,) in self._all(query, account)]

    def order(self, account: str, order_id: str) -> Order | None:
        """Return one order of an account."""
        query = "SELECT body FROM orders WHERE account = ? AND id = ?"
        row = self._one(query, account, order_id)
        return None if row is None else msgspec.json.decode(row[0], type=Order)

    def closed_orders(self, account: str, start: float, end: float) -> Iterable[Order]:
        """Yield orders that closed after `start` and not after `end`, newest first."""
        query = (
            "SELECT body FROM orders WHERE account = ? AND status IN ('closed', 'canceled')"
            " AND closed_at > ? AND closed_at <= ? ORDER BY closed_at DESC, id"
        )
        for (body,) in self.connection.execute(query, (account, start, end)):
            yield msgspec.json.decode(body, type=Order)

    def save_order(self, order: Order) -> None:
        """Save an order as it is now."""
        query = "INSERT OR REPLACE INTO orders VALUES (?, ?, ?, ?, ?)"
        self._write(query, order.id, order.account, order.status, order.closed_at, encode(order))

    def trades(
        self,
        account: str,
        start: float,
        end: float,
        offset: int,
        limit: int,
        *,
        hidden: Sequence[str] = (),
    ) -> tuple[list[Trade], int]:
        """Return trades after `start` and not after `end`, newest first, and the total count.

        Trades in `hidden` are omitted.
        """
        marks = ", ".join("?" * len(hidden))
        where = f"FROM trades WHERE account = ? AND time > ? AND time <= ? AND id NOT IN ({marks})"
        rows = self._all(
            f"SELECT number, body {where} ORDER BY number DESC LIMIT ? OFFSET ?",
            *(account, start, end, *hidden, limit, offset),
        )
        count = self._one(f"SELECT count(*) {where}", account, start, end, *hidden)
        return [_trade(number, body) for number, body in rows], count[0] if count else 0

    def trade(self, account: str, trade_id: str) -> Trade | None:
        """Return one trade of an account."""
        query = "SELECT number, body FROM trades WHERE account = ? AND id = ?"
        row = self._one(query, account, trade_id)
        return None if row is None else _trade(*row)

    def save_trade(self, trade: Trade) -> int:
        """Save a trade; return its number."""
        query = "INSERT INTO trades (id, account, time, body) VALUES (?, ?, ?, ?)"
        return self._write(query, trade.id, trade.account, trade.time, encode(trade))

    def ledger(
        self,
        account: str,
        start: float,
        end: float,
        offset: int,
        limit: int,
        *,
        asset: str = "",
        kind: str = "",
    ) -> tuple[list[LedgerEntry], int]:
        """Return entries after `start` and not after `end`, newest first, and the total count.

        Only those of one asset's id, or of one kind, if it is not empty.
        """
        where = (
            "FROM ledger WHERE account = ? AND time > ? AND time <= ?"
            " AND ? IN ('', asset) AND ? IN ('', kind)"
        )
        values = (account, start, end, asset, kind)
        rows = self._all(
            f"SELECT body {where} ORDER BY number DESC LIMIT ? OFFSET ?", *values, limit, offset
        )
        count = self._one(f"SELECT count(*) {where}", *values)
        entries = [msgspec.json.decode(body, type=LedgerEntry) for (body,) in rows]
        return entries, count[0] if count else 0

    def has_ledger(self, account: str) -> bool:
        """Whether an account's ledger has entries."""
        return self._one("SELECT 1 FROM ledger WHERE account = ? LIMIT 1", account) is not None

    def entry(self, account: str, entry_id: str) -> LedgerEntry | None:
        """Return one entry of an account's ledger."""
        row = self._one("SELECT body FROM ledger WHERE account = ? AND id = ?", account, entry_id)
        return None if row is None else msgspec.json.decode(row[0], type=LedgerEntry)

    def save_ledger_entry(self, entry: LedgerEntry) -> None:
        """Append a ledger entry."""
        query = (
            "INSERT INTO ledger (id, account, asset, kind, time, body) VALUES (?, ?, ?, ?, ?, ?)"
        )
        values = (entry.id, entry.account, entry.asset, entry.kind, entry.time)
        self._write(query, *values, encode(entry))

    def switches(self) -> dict[str, float]:
        """Return the deadline of each armed dead man's switch, in epoch seconds."""
        return dict(self._all("SELECT account, deadline FROM switches"))

    def save_switch(self, account: str, deadline: float | None) -> None:
        """Save a deadline; None disarms."""
        if deadline is None:
            self._write("DELETE FROM switches WHERE account = ?", account)
        else:
            self._write("INSERT OR REPLACE INTO switches VALUES (?, ?)", account, deadline)

    def candles(self, pair: str) -> list[Candle]:
        """Return the closed minutes of a pair, oldest first."""
        rows = self._all("SELECT body FROM candles WHERE pair = ? ORDER BY start", pair)
        return [msgspec.json.decode(body, type=Candle) for (body,) in rows]

    def save_candle(self, pair: str, candle: Candle, *, keep_after: int) -> None:
        """Save a closed minute and drop those that started before `keep_after`."""
        self._write(
            "INSERT OR REPLACE INTO candles VALUES (?, ?, ?)", pair, candle.start, encode(candle)
        )
        self._write("DELETE FROM candles WHERE pair = ? AND start < ?", pair, keep_after)

    def faults(self) -> dict[str, bytes]:
        """Return the injected faults, encoded, by id."""
        return dict(self._all("SELECT id, body FROM faults"))

    def save_fault(self, fault_id: str, fault: object) -> None:
        """Save a fault; None removes it."""
        if fault is None:
            self._write("DELETE FROM faults WHERE id = ?", fault_id)
        else:
            self._write("INSERT OR REPLACE INTO faults VALUES (?, ?)", fault_id, encode(fault))

    def add_entry(self, time: float, event: str, fields: dict[str, Any]) -> int:
        """Append a journal entry; return its number."""
        query = "INSERT INTO journal (time, event, body) VALUES (?, ?, ?)"
        return self._write(query, time, event, encode(fields))

    def entries(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Return journal entries with greater numbers, oldest first."""
        query = "SELECT seq, time, event, body FROM journal WHERE seq > ? ORDER BY seq LIMIT ?"
        return [
            {"seq": seq, "time": time, "event": event, **msgspec.json.decode(body)}
            for seq, time, event, body in self._all(query, after, limit)
        ]

    def drop_entries(self, until: int) -> None:
        """Delete the journal's entries up to a number."""
        self._write("DELETE FROM journal WHERE seq <= ?", until)

    def last_entry_before(self, time: float) -> int:
        """Return the number of the newest journal entry of an earlier time; 0 if there is none."""
        query = "SELECT seq FROM journal WHERE time < ? ORDER BY time DESC, seq DESC LIMIT 1"
        row = self._one(query, time)
        return 0 if row is None else int(row[0])

    def last_entry(self) -> int:
        """Return the number of the newest journal entry; 0 before the first."""
        row = self._one("SELECT max(seq) FROM journal")
        return int(row[0]) if row and row[0] is not None else 0

    def _write(self, query: str, *values: object) -> int:
        return self.connection.execute(query, values).lastrowid or 0

    def _all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self.connection.execute(query, values).fetchall()

    def _one(self, query: str, *values: object) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self.connection.execute(query, values).fetchone()
        return row


def _trade(number: int, body: bytes) -> Trade:
    return msgspec.structs.replace(msgspec.json.decode(body, type=Trade), number=number)
