"""The steps of docs/deployment.md, “PostgreSQL”, as they stand there, on a server of its own."""

import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.builders import NOW
from tests.postgres import Cluster, binary
from trading_ops.cli.migrate import migrate
from trading_ops.config.loading import load_settings
from trading_ops.store import maintenance
from trading_ops.store.engine import writing_engine
from trading_ops.store.writer import transaction

ROOT = Path(__file__).parents[2]
GRANTS = "deploy/postgresql/grants.sql"


def documented() -> list[str]:
    """The section's command lines."""
    text = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    section = text.partition("## PostgreSQL\n")[2].partition("\n## ")[0]
    return [line.strip() for line in section.splitlines() if line.startswith("       ")]


def psql(cluster: Cluster, *arguments: str, text: str = "") -> None:
    done = subprocess.run(
        [binary("psql"), "-v", "ON_ERROR_STOP=1", *arguments],
        input=text,
        env={
            "PGPASSWORD": cluster.password,
            "PGHOST": "127.0.0.1",
            "PGPORT": str(cluster.port),
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_documented_setup_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Roles, database, tables, grants, and the password from each of the two files."""
    lines = documented()
    with Cluster(fast=True) as cluster:
        sql = [line for line in lines if re.match(r"CREATE|REVOKE|GRANT|\\connect", line)]
        assert len(sql) == 8
        # Instead of \password, which asks an operator.
        given = f" PASSWORD '{cluster.password}'"
        sql = [line[:-1] + given + ";" if "ROLE" in line else line for line in sql]
        psql(cluster, "-U", "admin", "-d", "postgres", text="\n".join(sql))

        secrets = tmp_path / "var" / "secrets"
        secrets.mkdir(parents=True)
        for path, text in (
            (secrets / "database_password", f"{cluster.password}\n"),
            (tmp_path / ".pgpass", f"127.0.0.1:*:trading_ops:*:{cluster.password}\n"),
        ):
            path.write_text(text)
            path.chmod(0o600)
        host = f"127.0.0.1:{cluster.port}"
        owners = next(line for line in lines if line.startswith("TRADING_OPS_DATABASE"))
        url = owners.partition('"')[2].partition('"')[0]
        url = url.replace("db.example", host).replace("$HOME", str(tmp_path))
        monkeypatch.setenv("TRADING_OPS_ROOT", str(tmp_path))
        monkeypatch.setenv("TRADING_OPS_DATABASE", url)
        made = CliRunner().invoke(migrate)
        assert "the database is at revision" in made.output, made.output
        assert any(line.endswith(f"-f {GRANTS}") for line in lines)
        psql(cluster, "-U", "trading_ops_owner", "-d", "trading_ops", "-f", GRANTS)

        monkeypatch.delenv("TRADING_OPS_DATABASE")
        mine = next(line for line in lines if line.startswith("database: "))
        mine = re.sub(r"db\.example|\?.*", lambda found: host if found[0][0] == "d" else "", mine)
        (tmp_path / "settings.yml").write_text(f"{mine}\n")
        engine = writing_engine(load_settings(tmp_path).database_url)
        with transaction(engine) as connection:
            assert maintenance.current_pause(connection, now=NOW) is None
            who = connection.exec_driver_sql("SELECT current_user").scalar_one()
        engine.dispose()
    assert who == "trading_ops"
