"""Databases and log files as the whole exporter serves them: one that is dead hides nothing."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.free_ports import free_port
from tests.postgres import Cluster
from tests.service.exporter import postgresqls
from tests.service.exporter.sqlites import Writer
from tests.waiting import eventually
from trading_ops.errors import ConfigError
from trading_ops.exporter.config import (
    ExporterConfig,
    LogFilesEntry,
    PostgresqlEntry,
    SqliteEntry,
    load_config,
)
from trading_ops.exporter.server import serving
from trading_ops.instrument.catalogue import EXPORTER_METRICS

pytestmark = pytest.mark.processes

Seen = dict[str, dict[tuple[str, ...], float]]

NOT_ALWAYS = {
    "trading_postgresql_statistic_unavailable",
    "trading_postgresql_checksum_failures_total",
    "trading_postgresql_replication_lag_bytes",
    "trading_postgresql_replication_lag_seconds",
    "trading_postgresql_standby_receiving",
    "trading_postgresql_standby_lag_seconds",
    "trading_postgresql_index_invalid",
    "trading_sqlite_failure",
}
"""Of a fault, of a standby, or of a server with checksums."""


@asynccontextmanager
async def exporting(
    folder: Path,
    *,
    postgresql: tuple[PostgresqlEntry, ...],
    sqlite: tuple[SqliteEntry, ...],
    log_files: tuple[LogFilesEntry, ...],
) -> AsyncIterator[aiohttp.ClientSession]:
    token = folder / "token"
    token.write_text("metrics")
    address = f"127.0.0.1:{free_port()}"
    config = ExporterConfig(
        address=address,
        metrics_token_file=token,
        postgresql=postgresql,
        sqlite=sqlite,
        log_files=log_files,
    )
    headers = {"Authorization": "Bearer metrics"}
    async with (
        serving(config),
        aiohttp.ClientSession(f"http://{address}", headers=headers) as session,
    ):
        yield session


async def scrape(session: aiohttp.ClientSession) -> tuple[str, Seen]:
    async with asyncio.timeout(20), session.get("/metrics") as answer:
        text = await answer.text()
    found: Seen = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return text, found


async def test_all_of_them_beside_dead_ones(postgres: Cluster, tmp_path: Path) -> None:
    """Every metric of the catalogue is there, the linter is content, and the dead ones are down."""
    url = postgres.new_database(migrated=False)
    postgresqls.role(postgres, "served", "pg_read_all_stats")
    alive = postgresqls.entry(tmp_path, postgres, url, user="served")
    nowhere = tmp_path / "nowhere"
    nowhere.write_text("host=127.0.0.1 port=1 dbname=x user=y")
    with postgresqls.client(url, autocommit=True) as owner:
        owner.execute("CREATE TABLE t AS SELECT g AS a FROM generate_series(1, 100000) AS g")
        owner.execute("CREATE INDEX i ON t (a)")
        owner.execute("VACUUM ANALYZE t")
    with Writer(tmp_path / "bot.db") as writer:
        writer.do("PRAGMA journal_mode=wal", "CREATE TABLE t (a)")
        async with exporting(
            tmp_path,
            postgresql=(alive, PostgresqlEntry(name="dead", dsn_file=nowhere)),
            sqlite=(
                SqliteEntry(name="bot", path=tmp_path / "bot.db"),
                SqliteEntry(name="dead", path=tmp_path / "missing.db"),
            ),
            log_files=(
                LogFilesEntry(name="bot", paths=(tmp_path / "*.log", tmp_path / "token")),
                LogFilesEntry(name="dead", paths=(tmp_path / "nowhere" / "x.log",)),
            ),
        ) as session:
            text, seen = await scrape(session)
    postgres.drop(url)
    ours = ("trading_postgresql_", "trading_sqlite_", "trading_log_file_")
    promised = {
        metric.name for metric in EXPORTER_METRICS if metric.name.startswith(ours)
    } - NOT_ALWAYS
    assert len(promised) > 70
    assert promised <= set(seen)
    assert seen["trading_postgresql_up"] == {("bot",): 1, ("dead",): 0}
    unavailable = seen["trading_postgresql_statistic_unavailable"]
    assert unavailable == {("dead", "connection", "unreachable"): 1}
    assert seen["trading_sqlite_up"] == {("bot",): 1, ("dead",): 0}
    assert seen["trading_sqlite_failure"] == {("dead", "missing"): 1}
    up = seen["trading_exporter_collector_up"]
    assert {name: value for (name,), value in up.items() if name.endswith((":bot", ":dead"))} == {
        "postgresql:bot": 1, "postgresql_storage:bot": 1, "sqlite:bot": 1, "log_files:bot": 1,
        "postgresql:dead": 0, "postgresql_storage:dead": 0, "sqlite:dead": 0, "log_files:dead": 0,
    }  # fmt: skip
    linted = await asyncio.to_thread(
        subprocess.run,
        ["promtool", "check", "metrics"],
        input=text.encode(),
        capture_output=True,
        check=False,
    )
    assert (linted.returncode, linted.stdout, linted.stderr) == (0, b"", b"")


async def test_a_server_that_hangs_delays_no_scrape(tmp_path: Path) -> None:
    """It is frozen while the exporter runs; the file beside it is reported as ever."""
    with Cluster(fast=True) as cluster:
        url = cluster.new_database(migrated=False)
        postgresqls.role(cluster, "watcher", "pg_read_all_stats")
        entry = postgresqls.entry(
            tmp_path, cluster, url, user="watcher", interval_seconds=1, timeout_seconds=1
        )
        with Writer(tmp_path / "bot.db") as writer:
            writer.do("PRAGMA journal_mode=wal", "CREATE TABLE t (a)")
            sqlite = SqliteEntry(name="bot", path=tmp_path / "bot.db", interval_seconds=1)
            async with exporting(
                tmp_path, postgresql=(entry,), sqlite=(sqlite,), log_files=()
            ) as session:

                async def up(value: int) -> bool:
                    seen = (await scrape(session))[1]
                    assert seen["trading_sqlite_up"] == {("bot",): 1}
                    return seen["trading_postgresql_up"] == {("bot",): value}

                await eventually(lambda: up(1))
                with cluster.paused():
                    await eventually(lambda: up(0))
                    before = (await scrape(session))[1]
                    reads = "trading_exporter_collector_last_success_timestamp_seconds"

                    async def goes_on() -> bool:
                        now = (await scrape(session))[1]
                        return now[reads][("sqlite:bot",)] > before[reads][("sqlite:bot",)]

                    await eventually(goes_on)
                await eventually(lambda: up(1))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("sqlite: [{name: a, path: x}, {name: a, path: y}]", "sqlite"),
        ("postgresql: [{name: A, dsn_file: x}]", "postgresql"),
        ("postgresql: [{name: a, dsn: 'password=p'}]", "postgresql"),
        ("postgresql: [{name: a, dsn_file: x, largest_tables: 100000}]", "postgresql"),
        ("log_files: [{name: a, paths: []}]", "log_files"),
        ("log_files: [{name: a, paths: [x], max_read_bytes: 1}]", "log_files"),
        ("sqlite: [{name: a, path: x, busy_seconds: 100}]", "sqlite"),
    ],
)
def test_a_configuration_that_cannot_be(tmp_path: Path, text: str, key: str) -> None:
    """The error names the file and the key."""
    file = tmp_path / "exporter.yaml"
    file.write_text(text + "\n")
    with pytest.raises(ConfigError, match=key) as caught:
        load_config(file)
    assert str(file) in str(caught.value)


def test_relative_paths_count_from_the_files_folder(tmp_path: Path) -> None:
    """Wherever the exporter is started."""
    file = tmp_path / "exporter.yaml"
    file.write_text(
        "postgresql: [{name: a, dsn_file: dsn}]\n"
        "sqlite: [{name: a, path: bot.db}]\n"
        "log_files: [{name: a, paths: [log/*.log]}]\n"
    )
    config = load_config(file)
    assert config.postgresql[0].dsn_file == tmp_path / "dsn"
    assert config.sqlite[0].path == tmp_path / "bot.db"
    assert config.log_files[0].paths == (tmp_path / "log" / "*.log",)
