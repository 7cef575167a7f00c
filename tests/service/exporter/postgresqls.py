"""A PostgreSQL to break, and what the exporter says of it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg
from prometheus_client.metrics_core import Metric
from psycopg import sql

from tests.postgres import Cluster
from trading_ops.exporter.collector import PolledSource
from trading_ops.exporter.config import PostgresqlEntry
from trading_ops.exporter.databases.postgresql.source import Postgresql, PostgresqlStorage

PASSWORD = "a secret"
DATABASE = "bot"
PREFIX = "trading_postgresql_"


def role(cluster: Cluster, name: str, *grants: str) -> str:
    """Make a role that may log in and nothing else, and what is granted to it; return its name."""
    made = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), PASSWORD)
    cluster.execute(made)
    for grant in grants:
        cluster.execute(
            sql.SQL("GRANT {} TO {}").format(sql.Identifier(grant), sql.Identifier(name))
        )
    return name


def entry(
    folder: Path, cluster: Cluster, url: str, *, user: str, port: int = 0, **named: Any
) -> PostgresqlEntry:
    """Return an entry of the exporter's configuration, with its file."""
    file = folder / "dsn"
    database = url.rpartition("/")[2]
    file.write_text(
        f"host=127.0.0.1 port={port or cluster.port} dbname={database} user={user} "
        f"password='{PASSWORD}'\n"
    )
    return PostgresqlEntry(name=DATABASE, dsn_file=file, **named)


def client(url: str, *, autocommit: bool = False) -> psycopg.Connection[Any]:
    """Connect as the owner of the database does."""
    connection: psycopg.Connection[Any] = psycopg.connect(url, autocommit=autocommit)
    return connection


def values(families: Iterable[Metric]) -> dict[str, float]:
    """Return values by `name` or `name:label,label`, without prefix and the database's label."""
    found = {}
    for family in families:
        for sample in family.samples:
            labels = list(sample.labels.values())
            assert labels[0] == DATABASE
            name = sample.name.removeprefix(PREFIX)
            found[":".join([name, ",".join(labels[1:])]).removesuffix(":")] = sample.value
    return found


async def look(source: Postgresql | PostgresqlStorage) -> dict[str, float]:
    """Read once, as the exporter does, and return what a scrape has."""
    watched = PolledSource(source)
    await watched.once()
    return values(watched.figures())
