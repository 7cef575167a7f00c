"""The doctor's checks of backups."""

from pathlib import Path

from trading_ops.config.settings import Settings
from trading_ops.config.targets import parse_targets
from trading_ops.doctor.backups import check_bot_records

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
