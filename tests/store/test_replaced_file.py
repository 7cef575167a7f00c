"""A database file that is deleted or replaced under the running writer: nothing is confirmed."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from trading_ops.errors import StoreUnavailable
from trading_ops.store import migrate
from trading_ops.store.engine import writing_engine
from trading_ops.store.writer import Writer


def _deleted(path: Path) -> None:
    path.unlink()


def _replaced(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copyfile(path, copy)
    copy.replace(path)


@pytest.mark.parametrize("change", [_deleted, _replaced])
def test_nothing_is_stored_in_a_file_without_a_name(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """The file that is open is not the one that a restart would read."""
    path = tmp_path / "test.db"
    url = f"sqlite:///{path}"
    migrate.upgrade(url)
    writer = Writer(writing_engine(url))
    writer.start()
    try:
        writer.submit(lambda connection: connection.exec_driver_sql("SELECT 1").all()).result(60)
        change(path)
        storing = writer.submit(lambda connection: connection.exec_driver_sql("SELECT 1").all())
        with pytest.raises(StoreUnavailable, match="deleted or replaced"):
            storing.result(60)
    finally:
        writer.stop()
