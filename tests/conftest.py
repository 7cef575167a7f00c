"""Databases for every test that asks for one, the examples of properties, the order of files."""

import gc
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from tests.coverage_files import remove_unfinished
from tests.databases import BOTH, place_database
from tests.postgres import Cluster
from trading_ops import redaction
from trading_ops.store import migrate

# How long an example takes says something of the machine, not of what is tested. The same code is
# tested with the same examples each time, so that a red run is never a matter of luck.
settings.register_profile("default", max_examples=50, deadline=None, derandomize=True)
settings.load_profile("default")

# `pytest tests/property --hypothesis-profile long` tries eighty times as many, new ones each time.
settings.register_profile("long", max_examples=4000, deadline=None, derandomize=False)


SLOWEST_FIRST = ("tests/crash", "tests/service/bot", "tests/rules", "tests/service")
"""Folders whose files take longest: started last, one of them would run on alone at the end."""


SUITES = frozenset(
    {"processes", "slow", "long", "attacks", "browser", "compose", "faults", "hosts", "kubernetes"}
)
"""Markers that take a test out of `make test` into a suite with a make target of its own."""


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Before pytest-cov combines the coverage data, remove what cannot be combined."""
    try:
        return (yield)
    finally:
        if not hasattr(session.config, "workerinput"):
            remove_unfinished(session.config.rootpath)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with what takes longest; within a file the order stays."""

    def rank(item: pytest.Item) -> int:
        found = (at for at, folder in enumerate(SLOWEST_FIRST) if item.nodeid.startswith(folder))
        return next(found, len(SLOWEST_FIRST))

    items.sort(key=rank)
    _check_suites(items)


def _check_suites(items: list[pytest.Item]) -> None:
    """A test with the markers of two suites would run twice: stop and name it."""
    for item in items:
        suites = SUITES & {mark.name for mark in item.iter_markers()}
        if len(suites) > 1:
            raise pytest.UsageError(
                f"{item.nodeid} is in {len(suites)} suites ({', '.join(sorted(suites))}): "
                "keep one of these markers"
            )


def pytest_collection_finish() -> None:
    """Keep the garbage collector away from the modules and the 10,000 tests: a tenth of the CPU."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _nothing_of_other_files() -> None:
    """What was a secret there is none here, and where they logged to is forgotten."""
    redaction.forget_all()
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL server that this test process shares, and that does not wait for the disk."""
    with Cluster(fast=True) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    migrate.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(tmp_path: Path, migrated_sqlite: Path) -> str:
    """The URL of a new, migrated SQLite database."""
    url = f"sqlite:///{tmp_path / 'test.db'}"
    place_database(migrated_sqlite, url)
    return url


@pytest.fixture(params=BOTH)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a new, migrated database, on each kind in turn."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'store' / 'test.db'}"
        place_database(request.getfixturevalue("migrated_sqlite"), url)
        yield url
        return
    cluster: Cluster = request.getfixturevalue("postgres")
    url = cluster.new_database()
    yield url
    cluster.drop(url)
