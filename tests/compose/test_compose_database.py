"""What the database's container and the two that run once do, on a server of the tests' own."""

import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.builders import NOW
from tests.compose.composed import ROOT, SERVICES, made_secrets
from tests.postgres import Cluster, binary
from trading_ops.domain.decision import Pause
from trading_ops.store import maintenance, migrate
from trading_ops.store.engine import writing_engine
from trading_ops.store.writer import transaction


def test_from_an_empty_server_to_a_reconciler_that_can_write(tmp_path: Path) -> None:
    """Roles, tables, grants; each role with its own password, and none with more than its part."""
    secrets = made_secrets(tmp_path)
    roles = (ROOT / "docker" / "postgres" / "roles.sql").read_text(encoding="utf-8")
    roles = roles.replace("/run/secrets", str(secrets))
    with Cluster(fast=True) as cluster:
        psql = [binary("psql"), "-h", "127.0.0.1", "-p", str(cluster.port), "-v", "ON_ERROR_STOP=1"]
        subprocess.run(
            [*psql, "-U", "admin", "-d", "postgres"],
            input=roles,
            env={"PGPASSWORD": cluster.password, "PATH": "/usr/bin:/bin"},
            check=True,
            capture_output=True,
            text=True,
        )

        def url(role: str, secret: str) -> str:
            password = (secrets / secret).read_text()
            return f"postgresql://{role}:{password}@127.0.0.1:{cluster.port}/trading_ops"

        assert migrate.upgrade(url("trading_ops_owner", "database_owner_password")) == migrate.HEAD
        run_grants(cluster, secrets)
        engine = writing_engine(url("trading_ops", "database_password"))
        try:
            with transaction(engine, b"key") as connection:
                maintenance.begin_pause(
                    connection, Pause(owner="anna", reason="work", expires_at=NOW), now=NOW
                )
        finally:
            engine.dispose()
        for statement, refusal in (
            ("UPDATE events SET note = ''", psycopg.errors.InsufficientPrivilege),
            ("DELETE FROM events", psycopg.errors.RaiseException),  # it may behind a checkpoint
        ):
            with (
                psycopg.connect(url("trading_ops", "database_password")) as reconciler,
                pytest.raises(refusal),
            ):
                reconciler.execute(statement)
        dsn = (secrets / "exporter_dsn").read_text().replace("5432", str(cluster.port))
        with psycopg.connect(dsn) as exporter:
            found: Any = exporter.execute("SELECT count(*) FROM pg_stat_activity").fetchone()
            assert found[0]
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                exporter.execute("SELECT * FROM events")


def run_grants(cluster: Cluster, secrets: Path) -> None:
    """Run the service's own shell command, with the places of this machine."""
    shell, option, command = SERVICES["grants"]["entrypoint"]
    here = (
        command.replace("$$", "$")
        .replace("/run/secrets", str(secrets))
        .replace("/grants.sql", str(ROOT / "deploy" / "postgresql" / "grants.sql"))
        .replace("psql ", f"{binary('psql')} --port={cluster.port} ", 1)
    )
    done = subprocess.run([shell, option, here], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_server_asks_for_a_password_on_its_loopback() -> None:
    """Which everyone in the shared network namespace can reach."""
    arguments = SERVICES["postgres"]["environment"]["POSTGRES_INITDB_ARGS"].split()
    assert arguments == ["--auth-host=scram-sha-256", "--auth-local=peer"]
    assert "POSTGRES_HOST_AUTH_METHOD" not in SERVICES["postgres"]["environment"]
    assert "listen_addresses=127.0.0.1" in SERVICES["postgres"]["command"]
