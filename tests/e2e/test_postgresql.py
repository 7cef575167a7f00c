"""The whole stack with its store in PostgreSQL: a drill heals, doctor names the database, and the
server may go away and come back."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Stack
from tests.postgres import Cluster


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
    done = stack.run("up", "--detach")
    assert done.returncode == 0, done.stderr + stack.logs()
    yield stack
    assert stack.run("down").returncode == 0
    assert stack.pids() == set()


def test_the_stack_on_postgresql(stack: Stack, server: Cluster) -> None:
    """It heals before the server stopped and after it came back, and nobody started it again."""
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
