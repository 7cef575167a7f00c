"""Facts: named single values that the bot needs again after a restart, such as a watermark.

Example:
    await store.set_fact("watermark", 1_700_000_000.0)
    watermark = await store.fact("watermark", float)  # None when it was never set
"""

from typing import TypeVar

import msgspec

from trading_ops.botkit.records.sql import Session
from trading_ops.errors import StoreError

T = TypeVar("T")


def set_fact(session: Session, name: str, value: object, at: float) -> None:
    """Store a fact.

    Args:
        session: of the transaction.
        name: of the fact; an earlier value is replaced.
        value: anything that msgspec can encode as JSON.
        at: seconds since the epoch.
    """
    session.execute(
        "INSERT INTO facts (name, value, at) VALUES (?, ?, ?) ON CONFLICT (name)"
        " DO UPDATE SET value = excluded.value, at = excluded.at",
        (name, msgspec.json.encode(value).decode(), at),
    )


def get_fact(session: Session, name: str, kind: type[T]) -> T | None:
    """Return a fact; None when it was never set.

    Args:
        session: of the transaction.
        name: of the fact.
        kind: the type to decode it to.

    Raises:
        StoreError: it is stored but cannot be decoded, and must not be taken for missing.
    """
    row = session.execute("SELECT value FROM facts WHERE name = ?", (name,)).one()
    if row is None:
        return None
    try:
        return msgspec.json.decode(row[0], type=kind)
    except msgspec.MsgspecError as error:
        raise StoreError(f"the fact {name!r} in the records is damaged: {error}") from error
