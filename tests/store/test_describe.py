"""What `doctor` says of the database."""

import pytest
from sqlalchemy.engine import make_url

from tests.databases import postgresql_only, sqlite_only
from tests.postgres import Cluster
from trading_ops.errors import StoreError
from trading_ops.store.engine import describe, sqlite_path


@sqlite_only
def test_the_embedded_one(url: str) -> None:
    """The file is named."""
    description = describe(url)
    assert description.startswith("SQLite 3.")
    assert description.endswith(str(sqlite_path(url)))


@postgresql_only
def test_a_server_that_does_not_keep_what_it_confirms(url: str) -> None:
    """The tests' own server is fast because it does not wait for the disk: it is reported."""
    with pytest.raises(StoreError, match="fsync = off, full_page_writes = off: a crash"):
        describe(url)


def test_a_server_and_one_that_is_away() -> None:
    """Where it is, and never the password."""
    with Cluster() as cluster:
        url = cluster.new_database()
        description = describe(url)
        assert description.startswith("PostgreSQL 1")
        assert description.endswith(f"{make_url(url).database} on 127.0.0.1")
        cluster.stop()
        with pytest.raises(StoreError, match="does not answer") as caught:
            describe(url)
        assert cluster.password not in description + str(caught.value)
