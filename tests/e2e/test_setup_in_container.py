"""docs/install.md on a clean Debian 12 with systemd, in a container: install, upgrade, remove.

Needs a Docker engine. TRADING_OPS_TEST_BASE names another base image than `debian:12`.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.waiting import eventually

ROOT = Path(__file__).parents[2]
BASE = os.environ.get("TRADING_OPS_TEST_BASE", "debian:12")  # noqa: TID251 - of the test itself
IMAGE = "trading-ops-test-host"
DOCKERFILE = f"""FROM {BASE}
RUN printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d \\
 && apt-get update -q \\
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \\
    systemd systemd-sysv dbus polkitd python3-venv prometheus prometheus-alertmanager \\
 && rm /usr/sbin/policy-rc.d
RUN printf '[global]\\nno-index = true\\nfind-links = /wheels\\n' >/etc/pip.conf
"""
AS_A_HOST = [
    *("--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--cgroupns=host"),
    *("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
    *("--tmpfs", "/run", "--tmpfs", "/run/lock", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw"),
]
BUILD = "import sys; from hatchling import build; print(build.build_wheel(sys.argv[1]))"
Run = Callable[..., str]


def docker(*arguments: str, text: str | None = None, within: float = 600) -> str:
    done = subprocess.run(
        ["docker", *arguments],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=within,
    )
    assert done.returncode == 0, f"docker {arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def engine_answers() -> bool:
    if not shutil.which("docker"):
        return False
    done = subprocess.run(["docker", "version"], capture_output=True, check=False, timeout=60)
    return done.returncode == 0


pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not engine_answers(), reason="no Docker engine answers"),
]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel in a folder with all that it needs: the container has no index."""
    folder = tmp_path_factory.mktemp("wheels")
    built = subprocess.run(
        [sys.executable, "-c", BUILD, folder], cwd=ROOT, capture_output=True, text=True, check=True
    )
    wheel = folder / built.stdout.split()[-1]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:"]
    wanted = f"{wheel}[node,exporter,postgresql]"
    subprocess.run([*pip, "--python-version", "3.11", "-d", folder, wanted], check=True)
    return wheel


@pytest.fixture(scope="module")
def host(package: Path) -> Iterator[Run]:
    """A running host; it runs a shell line and returns its output."""
    docker("build", "--network", "host", "-t", IMAGE, "-", text=DOCKERFILE, within=1200)
    mounts = ["-v", f"{package.parent}:/wheels:ro", "-v", f"{ROOT / 'deploy'}:/deploy:ro"]
    name = docker("run", "-d", *AS_A_HOST, *mounts, IMAGE, "/sbin/init").strip()

    def run(line: str) -> str:
        return docker("exec", name, "sh", "-c", line)

    try:
        run("until systemctl is-system-running | grep -E 'running|degraded'; do sleep 0.5; done")
        spec = f"/wheels/{package.name}[node,exporter,postgresql]"
        run(f"sh /deploy/setup.sh install --package '{spec}'")
        yield run
    finally:
        docker("rm", "-f", name)


def failed(run: Run) -> set[str]:
    found = json.loads(run("trading-ops doctor --output json || true"))
    return {one["name"] for one in found["checks"] if not one["ok"]}


async def test_what_is_installed_is_healthy(host: Run) -> None:
    """All but the node, which has no service to look after yet."""
    await eventually(lambda: failed(host) == {"node host-1"}, within=120, what="doctor is content")
    assert host("systemctl is-active prometheus prometheus-alertmanager").split() == ["active"] * 2


async def test_the_watchdog_restarts_a_reconciler_that_hangs(host: Run) -> None:
    show = "systemctl show -P MainPID trading-ops-reconciler"
    before = host(show)
    host(f"kill -STOP {before}")
    await eventually(lambda: host(show).strip() not in {before.strip(), "0"}, within=240)
    await eventually(lambda: failed(host) == {"node host-1"}, within=120, what="it serves again")


def test_paging_does_not_depend_on_our_processes(host: Run) -> None:
    host("systemctl stop trading-ops-reconciler trading-ops-exporter")
    assert host("systemctl is-active prometheus prometheus-alertmanager").split() == ["active"] * 2


def test_an_upgrade_keeps_local_changes(host: Run, package: Path) -> None:
    host("echo '# mine' >>/etc/trading-ops/targets.yml")
    spec = f"/wheels/{package.name}[node,exporter,postgresql]"
    said = host(f"sh /deploy/setup.sh upgrade --package '{spec}'")
    assert "targets.yml: kept" in said
    assert host("tail -n 1 /etc/trading-ops/targets.yml") == "# mine\n"
    assert host("ls /opt/trading-ops/releases | wc -l").strip() == "2"
    host("sh /deploy/setup.sh rollback")
    assert host("systemctl is-active trading-ops-reconciler").strip() == "active"


def test_removing_keeps_configuration_and_data_without_a_terminal(host: Run) -> None:
    said = host("sh /deploy/setup.sh uninstall </dev/null")
    assert "kept: /var/lib/trading-ops" in said
    assert host("ls -d /etc/trading-ops/targets.yml /var/lib/trading-ops/secrets").count("\n") == 2
    assert "trading-ops" not in host("systemctl list-unit-files; cat /etc/default/prometheus")
