"""`setup.sh install --lab` on a host of its own: the stack runs under systemd, and drills close.

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

ENGINES = "prometheus prometheus-alertmanager"
UNIT = "trading-ops-lab"


@pytest.fixture(scope="module")
def host(image: str, package: Path) -> Iterator[Host]:
    """A host with the lab; it was refused while Debian's Prometheus ran."""
    with running_host("lab", image, package.parent) as run:
        install = f"sh deploy/setup.sh install --lab --package '/wheels/{package.name}[lab]'"
        refused = run(f"systemctl start {ENGINES}; {install} 2>&1 || true")
        assert f"systemctl disable --now {ENGINES.split(maxsplit=1)[0]}" in refused
        run(f"systemctl disable --now {ENGINES}")
        run(install)
        yield run


async def healthy(run: Host) -> None:
    def ready() -> bool:
        text = run("trading-ops status --output json 2>/dev/null || true")
        if not text.startswith("{"):
            return False
        return all(process["state"] == "ready" for process in json.loads(text)["processes"])

    await eventually(ready, within=120, what="all processes are ready")


async def test_a_drill_closes(host: Host) -> None:
    await healthy(host)
    assert "recovered" in host("trading-ops drill TradingBotDown")


async def test_systemd_starts_it_again(host: Host) -> None:
    show = f"systemctl show -P MainPID {UNIT}"
    before = host(show)
    host(f"systemctl kill -s KILL {UNIT}")
    await eventually(lambda: host(show).strip() not in {before.strip(), "0"}, within=60)
    await healthy(host)


def test_uninstalling_removes_it(host: Host) -> None:
    assert f"kept: /var/lib/{UNIT}" in host("sh deploy/setup.sh uninstall </dev/null")
    assert UNIT not in host("systemctl list-unit-files")
