"""One transaction of the store: its events are chained and written just before it commits.

The head of the chain is locked last and for the shortest time, so that concurrent replicas wait
only briefly for each other and never lock in different orders.

Failures before and after COMMIT are different errors: before COMMIT was sent, nothing is stored;
after that, without an answer, the outcome is unknown.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, RootTransaction
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from trading_ops.errors import CommitUnknown, StoreUnavailable
from trading_ops.store import audit_chain, events
from trading_ops.store.engine import is_replaced

# PostgreSQL's codes. Two transactions conflicted, and this one was rolled back.
_COLLISIONS = frozenset({"40001", "40P01", "23505"})
# A statement ran, or waited for a lock, longer than allowed.
_LIMITS = frozenset({"57014", "55P03"})
# The connection broke, the server is shutting down, or it reports that it does not know.
_UNSURE = ("08", "40003", "57P")


@contextmanager
def transaction(engine: Engine, audit_key: bytes = b"") -> Iterator[Connection]:
    """Run a transaction; at the end write the added events, then commit.

    Args:
        engine: of the writer.
        audit_key: keys the chain's MACs; empty, they only detect accidents.

    Raises:
        StoreUnavailable: there is no database, it is locked, its file was replaced, or the
            connection failed before COMMIT.
        CommitUnknown: COMMIT was sent, and its outcome is unknown.
    """
    with _connect(engine) as connection:
        events.take_pending(connection)  # left over from a failed transaction
        with _begin(connection) as open_transaction:
            try:
                yield connection
                audit_chain.write(connection, audit_key)
            except DBAPIError as error:
                if error.connection_invalidated:
                    raise StoreUnavailable(_sentence("the database went away", error)) from error
                raise
            if is_replaced(connection):
                raise StoreUnavailable(
                    "the database file was deleted or replaced while it was open, so nothing is "
                    "stored: restore it and restart the reconciler"
                )
            _commit(open_transaction)


def is_collision(error: Exception) -> bool:
    """Whether it was rolled back because of another transaction: a retry may succeed."""
    return _code(error) in _COLLISIONS


def is_limit(error: Exception) -> bool:
    """Whether it waited or ran too long: an immediate retry would only wait again."""
    return _code(error) in _LIMITS


def _connect(engine: Engine) -> Connection:
    try:
        return engine.connect()
    except SQLAlchemyError as error:
        raise StoreUnavailable(_sentence("the database cannot be reached", error)) from error


def _begin(connection: Connection) -> RootTransaction:
    try:
        return connection.begin()
    except SQLAlchemyError as error:
        raise StoreUnavailable(_sentence("cannot start a transaction", error)) from error


def _commit(open_transaction: RootTransaction) -> None:
    try:
        open_transaction.commit()
    except DBAPIError as error:
        if _surely_rolled_back(error):
            raise
        raise CommitUnknown(_sentence("the commit was not confirmed", error)) from error


def _surely_rolled_back(error: DBAPIError) -> bool:
    code = _code(error)
    return bool(code) and not error.connection_invalidated and not code.startswith(_UNSURE)


def _code(error: Exception) -> str:
    """Return PostgreSQL's code of an error; SQLite has none."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


def _sentence(problem: str, error: SQLAlchemyError) -> str:
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines() or [""]
    return f"{problem}: {cause.__class__.__name__}: {lines[0]}"
