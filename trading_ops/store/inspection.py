"""A look at a database from outside: which it is, whether it answers, and whether it keeps."""

import sqlite3

from sqlalchemy.exc import SQLAlchemyError

from trading_ops.errors import StoreError
from trading_ops.store.engine import reading_engine, sqlite_path

DURABLE = ("fsync", "full_page_writes")
"""What a server must not have switched off, or a crash of its machine takes what it confirmed."""


def describe(url: str) -> str:
    """Return a short description of the database, without its password.

    Raises:
        StoreError: it does not answer, or does not keep what it confirms.
    """
    path = sqlite_path(url)
    if path is not None:
        return f"SQLite {sqlite3.sqlite_version}, {path}"
    engine = reading_engine(url)
    try:
        with engine.connect() as connection:
            asked = {
                name: connection.exec_driver_sql(f"SHOW {name}").scalar_one()
                for name in ("server_version", *DURABLE)
            }
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        raise StoreError(f"the database does not answer: {str(cause).strip()}") from error
    finally:
        engine.dispose()
    if unsafe := [f"{name} = {asked[name]}" for name in DURABLE if asked[name] != "on"]:
        raise StoreError(
            f"the server runs with {', '.join(unsafe)}: a crash of its machine would take what it "
            "confirmed"
        )
    place = engine.url
    return (
        f"PostgreSQL {asked['server_version'].split()[0]}, {place.database or 'the default'} on "
        f"{place.host or 'a local socket'}"
    )
