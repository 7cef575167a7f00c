"""Reading a database from beside it, with the reconciler running or not, and changing nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from trading_ops.errors import StoreError
from trading_ops.store.engine import reading_engine, sqlite_path
from trading_ops.store.reader import Reader


@contextmanager
def open_reader(url: str) -> Iterator[Reader]:
    """Open a database that exists.

    Raises:
        StoreError: the URL is invalid, or the file does not exist.
    """
    try:
        path = sqlite_path(url)
        if path is not None:
            if not path.is_file():
                raise StoreError(f"database {path} does not exist")
            # Opened otherwise, closing it would write the journal into the database.
            url = f"sqlite:///file:{quote(str(path.resolve()))}?mode=ro&uri=true"
        reader = Reader(reading_engine(url))
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        raise StoreError(
            "invalid database URL: use sqlite:////folder/file or postgresql://USER@HOST/DATABASE"
        ) from error
    try:
        yield reader
    finally:
        reader.close()
