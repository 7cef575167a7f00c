"""Drills of what did not run or arrive in time: a stack with short intervals, so that they take
minutes."""

import json
from collections.abc import Iterator

import pytest

from tests.stack import Stack, running_stack
from trading_ops.domain.target import Kind

pytestmark = pytest.mark.long

JOBS = """
jobs:
  database_optimize: {schedule: "* * * * *", jitter: 0s}
  report_daily: {schedule: "* * * * *"}
"""
NOTIFY = "version: 1\nroutes: [{name: all, to: [mail]}]\n"


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with a backup every ten seconds, two jobs every minute, and mails to its sink."""
    folder = tmp_path_factory.mktemp("short")
    (folder / "jobs.yml").write_text(JOBS)
    environ = {
        "TRADING_OPS_BACKUP_INTERVAL_SECONDS": "10",
        "TRADING_OPS_NOTIFY_CONFIG": str(folder / "notify.yml"),
    }
    with running_stack(folder, environ=environ) as stack:
        (address,) = (one.address for one in stack.registry.of_kind(Kind.MAIL))
        urls = stack.settings.secrets / "notify_urls"
        urls.touch(mode=0o600)
        urls.write_text(f"mail mailto://{address}?from=ops@example.com&to=owner@example.com\n")
        (folder / "notify.yml").write_text(NOTIFY)
        yield stack


@pytest.mark.parametrize(
    "alert",
    [
        "TradingOpsBackupOverdue",
        "TradingOpsJobMissed",
        "TradingOpsDailySummaryMissing",
        "TradingOpsMessagesFailing",
    ],
)
def test_it_is_noticed_and_ends_with_its_fault(short: Stack, alert: str) -> None:
    """Within the time of its runbook; nothing is done to the bot."""
    done = short.run("drill", alert, "--output", "json", within=700)
    result = json.loads(done.stdout)
    assert done.returncode == 0, result["problem"] + short.logs()
    assert result["total_seconds"] <= result["limit_seconds"]
