"""docs/install.md on a clean Debian 12 with systemd, in a container: install, upgrade, remove.

Needs a Docker engine. TRADING_OPS_TEST_BASE names another base image than `debian:12`.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.images import missing_tools
from tests.hosts.hosts import Host, running_host
from tests.waiting import eventually

WHY_NOT = missing_tools(compose=False)
pytestmark = [pytest.mark.hosts, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]


@pytest.fixture(scope="module")
def host(image: str, package: Path) -> Iterator[Host]:
    """A host on which the current release is installed."""
    with running_host("host-1", image, package.parent) as run:
        run("sh deploy/setup.sh install")
        yield run


def failed(run: Host) -> set[str]:
    found = json.loads(run("trading-ops doctor --output json || true"))
    return {check["name"] for check in found["checks"] if not check["ok"]}


async def test_what_is_installed_is_healthy(host: Host) -> None:
    """All but the node, which has no service to look after yet."""
    await eventually(lambda: failed(host) == {"node host-1"}, within=120, what="doctor is content")
    assert host("systemctl is-active prometheus prometheus-alertmanager").split() == ["active"] * 2


async def test_the_unit_writes_to_the_repository_of_the_settings(host: Host) -> None:
    """A folder that the shipped unit may not write to."""
    host("install -d -o trading-ops -g trading-ops -m 0700 '/srv/backups'")
    settings = "/etc/trading-ops/settings.yml"
    host(f"sed -i 's|^backup_repository: .*|backup_repository: /srv/backups|' {settings}")
    host(f"echo 'backup_interval_seconds: 10' >>{settings}")
    host("sh deploy/setup.sh install")
    manifests = "ls '/srv/backups/manifests' 2>/dev/null || true"
    await eventually(lambda: host(manifests).strip(), within=180, what="a backup by the unit")
    host(f"sed -i '/^backup_interval_seconds: 10/d' {settings}")
    host("systemctl restart trading-ops-reconciler")
    await eventually(lambda: failed(host) == {"node host-1"}, within=120, what="doctor is content")


async def test_the_watchdog_restarts_a_reconciler_that_hangs(host: Host) -> None:
    show = "systemctl show -P MainPID trading-ops-reconciler"
    before = host(show)
    host(f"kill -STOP {before}")
    await eventually(lambda: host(show).strip() not in {before.strip(), "0"}, within=240)
    await eventually(lambda: failed(host) == {"node host-1"}, within=120, what="it serves again")


def test_paging_does_not_depend_on_our_processes(host: Host) -> None:
    host("systemctl stop trading-ops-reconciler trading-ops-exporter")
    assert host("systemctl is-active prometheus prometheus-alertmanager").split() == ["active"] * 2


def test_an_upgrade_keeps_local_changes(host: Host, package: Path) -> None:
    host("echo '# mine' >>/etc/trading-ops/targets.yml")
    spec = f"/wheels/{package.name}[node,exporter,postgresql]"
    output = host(f"sh deploy/setup.sh upgrade --package '{spec}'")
    assert "targets.yml: kept" in output
    assert host("tail -n 1 /etc/trading-ops/targets.yml") == "# mine\n"
    assert host("ls /opt/trading-ops/releases | wc -l").strip() == "2"
    host("sh deploy/setup.sh rollback")
    assert host("systemctl is-active trading-ops-reconciler").strip() == "active"


async def test_a_lost_folder_is_restored(host: Host) -> None:
    """With the copy of the secrets, which a plain repository does not have."""
    host("systemctl start trading-ops-reconciler trading-ops-exporter")
    await eventually(lambda: failed(host) == {"node host-1"}, within=120, what="doctor is content")
    host("trading-ops backup create; cp -a /var/lib/trading-ops/secrets /srv/secrets")
    host("systemctl kill -s KILL trading-ops-reconciler; rm -rf /var/lib/trading-ops")
    host("install -d /var/lib/trading-ops; cp -a /srv/secrets /var/lib/trading-ops/")
    host("sh deploy/setup.sh restore")
    await eventually(lambda: failed(host) == {"node host-1"}, within=120, what="doctor is content")
    host("trading-ops audit verify; trading-ops restore latest")
    assert "restored-" in host("ls /var/lib/trading-ops")


def test_removing_keeps_configuration_and_data_without_a_terminal(host: Host) -> None:
    output = host("sh deploy/setup.sh uninstall </dev/null")
    assert "kept: /var/lib/trading-ops" in output
    assert host("ls -d /etc/trading-ops/targets.yml /var/lib/trading-ops/secrets").count("\n") == 2
    assert "trading-ops" not in host("systemctl list-unit-files; cat /etc/default/prometheus")
