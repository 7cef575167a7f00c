"""The doctor's checks of backups."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from trading_ops.backup.records import BackupRecords, Record
from trading_ops.backup.written import drop_in
from trading_ops.clients.node import HostBackups
from trading_ops.config.settings import Settings
from trading_ops.config.targets import parse_targets
from trading_ops.doctor.backups import (
    check_backup_folders,
    check_backups,
    check_bot_records,
    check_records_of_node,
    nodes_with_records,
)

TARGETS = """\
version: 1
targets:
  - {name: venue, kind: venue, address: "127.0.0.1:9", probe: false}
  - {name: reconciler, kind: reconciler, address: "127.0.0.1:1"}
  - {name: prometheus, kind: prometheus, address: "127.0.0.1:2"}
  - {name: alertmanager, kind: alertmanager, address: "127.0.0.1:3"}
  - {name: host-a, kind: node, address: "127.0.0.1:4"}
  - {name: host-b, kind: node, address: "10.0.0.5:4", tls: true}
  - name: alpha
    kind: bot
    venue: venue
    address: 127.0.0.1:5
    service: {manager: systemd, unit: trading-bot@alpha.service, node: host-a}
  - name: beta
    kind: bot
    venue: venue
    address: 10.0.0.5:5
    tls: true
    service: {manager: systemd, unit: trading-bot@beta.service, node: host-b}
"""


NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("interval", "age", "tested", "problem"),
    [
        (300.0, None, None, "none"),
        (300.0, 2 * HOUR, 2 * HOUR, "2 h old"),
        (300.0, HOUR / 6, None, "never restored"),
        (300.0, HOUR / 6, 240 * HOUR, "10 days ago"),
        (300.0, HOUR / 6, HOUR, ""),
        (0.0, None, None, "interval"),
        (0.0, 2 * HOUR, 2 * HOUR, ""),
        (0.0, 72 * HOUR, 72 * HOUR, "3 days old"),
    ],
)
def test_missing_old_and_untested_backups_are_reported(
    tmp_path: Path,
    interval: float,
    age: timedelta | None,
    tested: timedelta | None,
    problem: str,
) -> None:
    """With an interval of 0, no alert covers this."""
    settings = Settings(root=tmp_path, var=tmp_path / "var", backup_interval_seconds=interval)
    if age is not None:
        at = NOW - age
        record = Record(
            id="20260228T000000",
            created_at=at,
            recoverable_to=at,
            location="",
            bytes=1,
            files=1,
            release="1",
            restore_tested_at=None if tested is None else NOW - tested,
        )
        BackupRecords(settings.backup_records).put(record)
    check = check_backups(settings, NOW)
    assert check.warning is bool(problem)
    assert problem in check.detail


def test_a_bot_of_this_host_that_is_in_no_backup_is_named(tmp_path: Path) -> None:
    registry = parse_targets(TARGETS, where="targets.yml")

    def check(interval: float = 300.0, **folders: str) -> tuple[bool, str]:
        settings = Settings(
            root=tmp_path,
            backup_interval_seconds=interval,
            backup_folders={name: Path(folder) for name, folder in folders.items()},
        )
        found = check_bot_records(settings, registry)
        return found.warning, found.detail

    warned, detail = check()
    assert warned
    assert "alpha" in detail
    assert "beta" not in detail
    warned, detail = check(alpha="/srv/alpha")
    assert not warned
    assert "beta" in detail
    warned, detail = check(alpha="/srv/alpha", gamma="/srv/gamma")
    assert warned
    assert "gamma" in detail
    assert not check(interval=0.0)[0]


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (HostBackups(), "beta: in no backup"),
        (HostBackups(interval_seconds=300, bots=["gamma"], newest=NOW, restore_tested=NOW), "beta"),
        (HostBackups(interval_seconds=300, bots=["beta"]), "none"),
        (HostBackups(interval_seconds=300, bots=["beta"], newest=NOW), "never restored"),
        (
            HostBackups(
                interval_seconds=300, bots=["beta"], newest=NOW - 2 * HOUR, restore_tested=NOW
            ),
            "2 h old",
        ),
        (HostBackups(interval_seconds=300, bots=["beta"], newest=NOW, restore_tested=NOW), ""),
    ],
)
def test_a_node_that_does_not_back_up_its_bots_is_named(
    tmp_path: Path, found: HostBackups, problem: str
) -> None:
    """Those of this host are not its business, nor those that this host's settings name."""
    registry = parse_targets(TARGETS, where="targets.yml")
    settings = Settings(root=tmp_path)
    assert nodes_with_records(settings, registry) == {"host-b": ["beta"]}
    named = Settings(root=tmp_path, backup_folders={"beta": Path("/srv/beta")})
    assert nodes_with_records(named, registry) == {}
    check = check_records_of_node("host-b", ["beta"], found, NOW)
    assert check.warning is bool(problem)
    assert problem in check.detail


@pytest.mark.parametrize(
    ("repository", "refused"),
    [
        ("/var/lib/trading-ops-backups", []),
        ("/mnt/backups", ["/mnt/backups"]),
        ("restic:/mnt/backups", ["/mnt/backups"]),
        ("/mnt/my disk/backups", []),
        ("restic:sftp:ops@vault:/backups", []),
        ("restic:s3:s3.example/backups", []),
    ],
)
@pytest.mark.parametrize("pgbackrest", [False, True])
def test_a_repository_that_the_unit_may_not_write_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    repository: str,
    refused: list[str],
    *,
    pgbackrest: bool,
) -> None:
    """A backup that an operator takes in a shell succeeds, so it is easily missed."""
    _systemctl(
        tmp_path,
        monkeypatch,
        "strict",
        '/var/lib/trading-ops -/var/lib/trading-ops-backups "-/mnt/my disk"',
    )
    config = tmp_path / "pgbackrest.conf"
    config.write_text("[global]\nrepo1-path=/srv/pg\n[trading]\npg1-path=/var/lib/postgresql\n")
    settings = Settings(
        root=Path("/etc/trading-ops"),
        var=Path("/var/lib/trading-ops"),
        backup_repository=repository,
        backup_pgbackrest=config if pgbackrest else None,
    )
    expected = refused + (["/srv/pg", "/var/log/pgbackrest"] if pgbackrest else [])
    check = check_backup_folders(settings)
    assert check.ok is not bool(expected)
    named = check.detail.partition("may not write to ")[2].partition(": its")[0].split()
    assert named == expected
    allowed = drop_in(settings).partition("ReadWritePaths=")[2].split()
    assert {f'"-{folder}"' for folder in expected} <= set(allowed)


def test_systemd_reads_the_paths_literally(tmp_path: Path) -> None:
    """With spaces, and with the signs that systemd replaces."""
    settings = Settings(
        root=Path("/etc/trading-ops"), var=tmp_path, backup_repository='/mnt/my "50%" disk'
    )
    assert '"-/mnt/my \\"50%%\\" disk"' in drop_in(settings)
    assert "EnvironmentFile=-/etc/trading-ops/backup.env\n" in drop_in(settings)


@pytest.mark.parametrize(("load", "protect"), [("not-found", ""), ("loaded", "no")])
def test_without_the_hardened_unit_nothing_is_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: str, protect: str
) -> None:
    _systemctl(tmp_path, monkeypatch, protect, "", load=load)
    settings = Settings(root=tmp_path, var=tmp_path / "var", backup_repository="/mnt/backups")
    assert check_backup_folders(settings).ok


def _systemctl(
    folder: Path, monkeypatch: pytest.MonkeyPatch, protect: str, paths: str, *, load: str = "loaded"
) -> None:
    (folder / "systemctl").write_text(
        f"#!/bin/sh\necho LoadState={load}\necho ProtectSystem={protect}\n"
        f"echo 'ReadWritePaths={paths}'\n"
    )
    (folder / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
