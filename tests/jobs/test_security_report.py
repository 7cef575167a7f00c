"""The job `security_report`: its own process, its result on record."""

from pathlib import Path

import pytest

from tests.databases import sqlite_only
from tests.jobs.conftest import Start
from tests.jobs.test_database import context_of
from trading_ops.domain.job import JobOutcome
from trading_ops.jobs.job import load
from trading_ops.jobs.work import findings

TOKEN = "k3J9sPq2vXz7LmN4"


@sqlite_only
async def test_a_copied_secret_fails_the_job(
    start: Start, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The detail and the event name the file, not the secret."""
    install(tmp_path)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9")
    job = load("security_report")
    async with start() as replica:
        context = context_of(replica, tmp_path, database_url)
        assert (await job.plan(context)).steps
        result = await job.run(context)
        (recorded,) = await findings.earlier(context, "security_report")
    assert result.outcome is JobOutcome.FAILED
    assert "notes.txt contains the secret operator_token" in result.detail
    assert TOKEN not in result.detail + str(recorded.after)
    assert recorded.after["findings"][0]["topic"] == "copied secret"


def install(folder: Path) -> None:
    """Write an installation that asks nothing of the network."""
    secrets = folder / "var" / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "operator_token").write_text(TOKEN)
    (folder / "settings.yml").write_text("vulnerability_database: ''\n")
    (folder / "notes.txt").write_text(f"token: {TOKEN}\n")
