"""Drills of what did not run in time: a stack with short intervals, so that they take minutes."""

import json
from collections.abc import Iterator

import pytest

from tests.stack import Stack, running_stack

pytestmark = pytest.mark.long

JOBS = 'jobs: {database_optimize: {schedule: "* * * * *", jitter: 0s}}\n'
INTERVAL = {"TRADING_OPS_BACKUP_INTERVAL_SECONDS": "10"}


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that takes a backup every ten seconds and runs a job every minute."""
    folder = tmp_path_factory.mktemp("short")
    (folder / "jobs.yml").write_text(JOBS)
    with running_stack(folder, environ=INTERVAL) as stack:
        yield stack


@pytest.mark.parametrize("alert", ["TradingOpsBackupOverdue", "TradingOpsJobMissed"])
def test_it_is_noticed_and_ends_with_its_fault(short: Stack, alert: str) -> None:
    """Within the time of its runbook; nothing is done to the bot."""
    done = short.run("drill", alert, "--output", "json", within=300)
    result = json.loads(done.stdout)
    assert done.returncode == 0, result["problem"] + short.logs()
    assert result["total_seconds"] <= result["limit_seconds"]
