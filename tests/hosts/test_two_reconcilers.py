"""“Two reconcilers and PostgreSQL” of docs/install.md: four hosts, the database on its own."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.say import say
from tests.compose.images import missing_tools
from tests.hosts.site import Site, running_site
from tests.waiting import eventually

WHY_NOT = missing_tools(compose=False)
pytestmark = [pytest.mark.hosts, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]

RECONCILERS = ("host-a", "host-d")
SERVICE = "trading-ops-reconciler"
PROMETHEUS = "cat /etc/default/prometheus; systemctl is-active prometheus || true"


@pytest.fixture(scope="module")
def site(image: str, package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two reconcilers, a database and a bot, each on its own host."""
    for made in running_site(image, package.parent, tmp_path_factory.mktemp("hosts")):
        made.boot("host-c", "host-d")
        began = time.monotonic()
        made.follow("Two reconcilers and PostgreSQL")
        say(f"PostgreSQL and a second reconciler installed after {time.monotonic() - began:.0f} s")
        yield made


def kill_bot(site: Site) -> str:
    return site.b(f"kill -9 {site.unit('MainPID')}")


@pytest.mark.parametrize("name", RECONCILERS)
async def test_doctor_is_content(site: Site, name: str) -> None:
    await eventually(lambda: not site.failed_checks(name), within=90, what="doctor is content")


async def test_alertmanager_notifies_both(site: Site) -> None:
    sent = 'alertmanager_notifications_total{integration="webhook"}'
    await eventually(lambda: site.sum_of(sent) > 1, within=90, what="webhooks were sent")
    stored = site.sum_of('count(up{job="trading-reconciler"}==1)')
    assert stored == len(RECONCILERS)


async def test_a_killed_bot_is_restarted_once(site: Site) -> None:
    await site.calm()
    await site.recovered("bot killed, two reconcilers", lambda: kill_bot(site))


@pytest.mark.parametrize(("dead", "other"), [RECONCILERS, RECONCILERS[::-1]])
async def test_one_reconciler_is_enough(site: Site, dead: str, other: str) -> None:
    await site.calm()
    site.hosts[dead](f"systemctl stop {SERVICE}")
    await site.recovered(f"bot killed, {dead} without reconciler", lambda: kill_bot(site), other)
    site.hosts[dead](f"systemctl start {SERVICE}")
    await eventually(lambda: not site.failed_checks(dead), within=90, what="doctor is content")


async def test_a_reconciler_dies_while_the_bot_is_dead(site: Site) -> None:
    await site.calm()

    def fault() -> None:
        kill_bot(site)
        site.a(f"systemctl kill -s KILL {SERVICE}")

    await site.recovered("bot and a reconciler killed", fault, "host-d")


async def test_the_database_is_away_for_a_while(site: Site) -> None:
    await site.calm()
    postgresql = site.hosts["host-c"]

    def fault() -> None:
        postgresql("systemctl stop postgresql")
        kill_bot(site)
        time.sleep(15)  # an outage has no event to wait for
        postgresql("systemctl start postgresql")

    await site.recovered("database away for 15 s", fault)


@pytest.mark.parametrize("name", RECONCILERS)
async def test_an_upgrade_of_one_host_after_the_other(site: Site, name: str) -> None:
    """Without a restore point it refuses; Prometheus stays as it was, also where it is not ours."""
    await site.calm()
    host = site.hosts[name]
    before, defaults = host("readlink /opt/trading-ops/current"), host(PROMETHEUS)
    refused = host("sh deploy/setup.sh upgrade 2>&1 || echo refused")
    assert "there is no restore point" in refused
    assert refused.splitlines()[-1] == "refused"
    assert host("readlink /opt/trading-ops/current") == before
    host("sh deploy/setup.sh upgrade --no-backup")
    assert host("readlink /opt/trading-ops/current") != before
    assert host(PROMETHEUS) == defaults
    await eventually(lambda: not site.failed_checks(name), within=90, what="doctor is content")
    await site.recovered(f"bot killed, {name} upgraded", lambda: kill_bot(site))
