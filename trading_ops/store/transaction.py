"""One transaction of the store: what happened in it is chained and written just before it commits.

The chain's head is locked last and for the shortest time, so that replicas which write at once
neither wait long for each other nor lock in different orders.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from trading_ops.store import events


@contextmanager
def transaction(engine: Engine, audit_key: bytes = b"") -> Iterator[Connection]:
    """Begin, and at the end write the events that were added, then commit.

    Args:
        engine: of the writing side.
        audit_key: keys the chain's MACs; empty, they only detect accidents.
    """
    with engine.connect() as connection:
        events.forget(connection)  # what a transaction that failed has left behind
        with connection.begin():
            yield connection
            events.write(connection, audit_key)
