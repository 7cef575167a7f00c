"""Signed checkpoints of where the event chain starts: its first event, or after removed events.

They distinguish retention from tampering: a checkpoint has the number and MAC of the last event
that may be missing, and only the holder of the key can sign it.
"""

import hmac
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Connection, insert, select

from trading_ops.store.dialects import EPOCH
from trading_ops.store.tables import audit_checkpoints

_COLUMNS = tuple(audit_checkpoints.c)


class Kind(StrEnum):
    """Why the chain may start behind this event."""

    BEGUN = "begun"
    """The first event was chained here; what is older never had a MAC."""

    REMOVED = "removed"
    """The events up to here were removed by retention."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One signed place from which on the chain is whole."""

    kind: str
    seq: int
    """The last event before it; 0 when there is none."""

    mac: str
    """Of that event; empty when it has none."""

    at: datetime
    signature: str

    def is_signed_by(self, key: bytes) -> bool:
        """Whether the holder of the key made it."""
        made = _sign(key, self.kind, self.seq, self.mac, self.at)
        return hmac.compare_digest(self.signature.encode(), made.encode())


def add(
    connection: Connection, key: bytes, *, kind: Kind, seq: int, mac: str, at: datetime
) -> None:
    """Store a checkpoint, in the transaction of the change that needs it."""
    signature = _sign(key, kind, seq, mac, at)
    values = {"kind": kind.value, "seq": seq, "mac": mac, "at": at, "signature": signature}
    connection.execute(insert(audit_checkpoints), values)


def has_begun(connection: Connection, seq: int) -> bool:
    """Whether it is noted that the chain starts behind an event."""
    wanted = (audit_checkpoints.c.kind == Kind.BEGUN.value) & (audit_checkpoints.c.seq == seq)
    return connection.execute(select(audit_checkpoints.c.seq).where(wanted)).first() is not None


def read(connection: Connection) -> list[Checkpoint]:
    """Return all checkpoints, by rising number; their signatures are not checked."""
    rows = connection.execute(select(*_COLUMNS).order_by(audit_checkpoints.c.seq))
    return [Checkpoint(**row) for row in rows.mappings()]


def _sign(key: bytes, kind: str, seq: int, mac: str, at: datetime) -> str:
    microseconds = (at - EPOCH) // timedelta(microseconds=1)
    text = json.dumps(["checkpoint", kind, seq, mac, microseconds], separators=(",", ":"))
    return hmac.digest(key, text.encode(), "sha256").hex()
