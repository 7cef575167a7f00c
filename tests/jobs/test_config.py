"""`jobs.yml`: the shipped file, what the user's own overrides, and what is refused."""

from datetime import timedelta
from pathlib import Path

import pytest

from trading_ops.jobs.config import load_jobs
from trading_ops.jobs.job import JOBS, load
from trading_ops.jobs.schedule import Cron


def test_every_registered_job_is_shipped_with_a_schedule(tmp_path: Path) -> None:
    """And each one can be imported."""
    assert set(load_jobs(tmp_path).entries) == set(JOBS)
    for name in JOBS:
        assert load(name) is not None


def test_a_key_of_the_users_file_overrides_only_that_key(tmp_path: Path) -> None:
    """The others stay as shipped."""
    (tmp_path / "jobs.yml").write_text("jobs: {audit_verify: {zone: Europe/Berlin, timeout: 5m}}")
    shipped, entry = (
        load_jobs(tmp_path / "none").entries["audit_verify"],
        load_jobs(tmp_path).entries["audit_verify"],
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
def test_what_is_left_out_names_the_file_and_the_key(tmp_path: Path, text: str, key: str) -> None:
    """The job runs as shipped: an entry that a release renamed must not end remediation."""
    own = tmp_path / "jobs.yml"
    own.write_text(text)
    loaded = load_jobs(tmp_path)
    assert [(error.where, error.key) for error in loaded.refused] == [(str(own), key)]
    assert loaded.entries == load_jobs(tmp_path / "none").entries


def test_an_invalid_entry_takes_no_other_with_it(tmp_path: Path) -> None:
    (tmp_path / "jobs.yml").write_text("jobs: {gone: {}, audit_verify: {timeout: 5m}}")
    loaded = load_jobs(tmp_path)
    assert loaded.entries["audit_verify"].timeout == timedelta(minutes=5)
    assert len(loaded.refused) == 1
