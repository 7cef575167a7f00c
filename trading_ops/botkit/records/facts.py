"""Facts with one value each: what the bot must know again after a restart."""

from typing import TypeVar

import msgspec

from trading_ops.botkit.records.sql import Session
from trading_ops.errors import StoreError

T = TypeVar("T")


def set_fact(session: Session, name: str, value: object, at: float) -> None:
    """Keep a fact; `value` is anything that msgspec writes as JSON."""
    session.execute(
        "INSERT INTO facts (name, value, at) VALUES (?, ?, ?) ON CONFLICT (name)"
        " DO UPDATE SET value = excluded.value, at = excluded.at",
        (name, msgspec.json.encode(value).decode(), at),
    )


def get_fact(session: Session, name: str, kind: type[T]) -> T | None:
    """Return a fact, or None when it was never set.

    Raises:
        StoreError: it is of another shape, so that it must not be taken for absent.
    """
    row = session.execute("SELECT value FROM facts WHERE name = ?", (name,)).one()
    if row is None:
        return None
    try:
        return msgspec.json.decode(row[0], type=kind)
    except msgspec.MsgspecError as error:
        raise StoreError(f"the fact {name!r} in the records is damaged: {error}") from error
