"""The whole stack with its store in PostgreSQL: a drill, doctor, and an outage of
the server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import sql

from grafana.boards import proof
from grafana.boards.queries import board_queries
from tests.e2e.board_answers import unanswered
from tests.postgres import Cluster
from tests.stack import Stack

pytestmark = pytest.mark.slow


@pytest.fixture
def server() -> Iterator[Cluster]:
    """A server that waits for the disk, as in production."""
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def stack(tmp_path: Path, server: Cluster) -> Iterator[Stack]:
    """A stack of its own, whose password is where the manual says."""
    stack = Stack(tmp_path)
    url = server.new_database(migrated=False)
    secrets = stack.settings.secrets
    secrets.mkdir(parents=True, mode=0o700)
    password = secrets / "database_password"
    password.write_text(f"{server.password}\n")
    password.chmod(0o600)
    stack.environ["TRADING_OPS_DATABASE"] = url.replace(f":{server.password}", "")
    dsn = secrets / "exporter_dsn"
    dsn.write_text(f"{reader(server, url)}\n")
    dsn.chmod(0o600)
    done = stack.run("up", "--detach")
    assert done.returncode == 0, done.stderr + stack.logs()
    yield stack
    assert stack.run("down").returncode == 0
    assert stack.pids() == set()


def reader(server: Cluster, url: str) -> str:
    """Make the role with which the exporter reads the server; return how it connects."""
    made = "CREATE ROLE ops_exporter LOGIN PASSWORD {}"
    server.execute(sql.SQL(made).format(server.password))
    server.execute("GRANT pg_read_all_stats TO ops_exporter")
    return server.url(url.rpartition("/")[2], role="ops_exporter")


async def test_the_stack_on_postgresql(stack: Stack, server: Cluster) -> None:
    """It recovers before the server stopped and after it came back, and no one started it again."""
    code, report = stack.json("doctor", "--no-test-alert")
    details = {check["name"]: check["detail"] for check in report["checks"]}
    assert details["database"].startswith("PostgreSQL ")
    assert code == 0, report
    before = stack.processes()["reconciler"]["pid"]
    code, result = stack.json("drill", "TradingBotBrokerDisconnected")
    assert code == 0, result["problem"] + stack.logs()
    server.stop()
    code, report = stack.json("doctor", "--no-test-alert")
    wrong = {check["name"] for check in report["checks"] if not check["ok"]}
    assert code == 1
    assert "database" in wrong
    server.start()
    code, result = stack.json("drill", "TradingBotDown")
    assert code == 0, result["problem"] + stack.logs()
    assert stack.processes()["reconciler"]["pid"] == before
    assert not (stack.settings.var / "reconciler" / "reconciler.db").exists()
    queries = [query for query in board_queries() if proof.only_postgresql(query.expr)]
    assert queries
    assert await unanswered(stack, queries) == []
