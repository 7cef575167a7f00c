"""`jobs.yml`: the shipped file, what the user's own overrides, and what is refused."""

from datetime import timedelta
from pathlib import Path

import pytest

from trading_ops.errors import ConfigError
from trading_ops.jobs.config import load_jobs
from trading_ops.jobs.job import JOBS, load
from trading_ops.jobs.schedule import Cron


def test_every_registered_job_is_shipped_with_a_schedule(tmp_path: Path) -> None:
    """And each one can be imported."""
    assert set(load_jobs(tmp_path)) == set(JOBS)
    for name in JOBS:
        assert load(name) is not None


def test_a_key_of_the_users_file_overrides_only_that_key(tmp_path: Path) -> None:
    """The others stay as shipped."""
    (tmp_path / "jobs.yml").write_text("jobs: {audit_verify: {zone: Europe/Berlin, timeout: 5m}}")
    shipped, entry = (
        load_jobs(tmp_path / "none")["audit_verify"],
        load_jobs(tmp_path)["audit_verify"],
    )
    assert isinstance(shipped.schedule, Cron)
    expected = Cron(expression=shipped.schedule.expression, zone="Europe/Berlin")
    assert (entry.schedule, entry.timeout) == (expected, timedelta(minutes=5))
    assert entry.jitter == shipped.jitter


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("jobs: {backups: {schedule: 0 3 * * *}}", "jobs.backups"),
        ("jobs: {audit_verify: {shedule: 0 3 * * *}}", "jobs.audit_verify"),
        ("jobs: {audit_verify: {misfire: maybe}}", "jobs.audit_verify"),
        ("jobs: {audit_verify: {timeout: 0s}}", "jobs.audit_verify.timeout"),
        ("jobs: {audit_verify: {jitter: 2h}}", "jobs.audit_verify.jitter"),
        ("jobs: [", ""),
        ("[]", ""),
    ],
)
def test_what_is_refused_names_the_file_and_the_key(tmp_path: Path, text: str, key: str) -> None:
    """So that it can be corrected at once."""
    own = tmp_path / "jobs.yml"
    own.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_jobs(tmp_path)
    assert (caught.value.where, caught.value.key) == (str(own), key)
