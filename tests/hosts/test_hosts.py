"""“Several hosts” of docs/install.md, followed literally on containers, then attacked.

Needs a Docker engine. TRADING_OPS_TEST_BASE names another base image than `debian:12`.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.say import say
from tests.compose.images import docker, missing_tools
from tests.hosts.site import ACTIVE, NODE, PYTHON, SUBNET, Site, running_site
from tests.waiting import eventually

WHY_NOT = missing_tools(compose=False)
pytestmark = [pytest.mark.hosts, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]

TARGETS = 8  # scrapes: two of the bot, two of the reconciler, one of each other process
EXPIRE = """
from datetime import timedelta
from pathlib import Path
from trading_ops.tls.authority import Authority, Wanted, issued

folder = Path("/var/lib/trading-ops/tls")
for certificate in issued(folder):
    if certificate.name in {"host-b", "operator"}:
        wanted = Wanted(certificate.name, certificate.hosts, certificate.calls)
        Authority(folder).issue(wanted, timedelta(seconds=-1))
"""


@pytest.fixture(scope="module")
def site(image: str, package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two hosts and a mailbox."""
    began = time.monotonic()
    for made in running_site(image, package.parent, tmp_path_factory.mktemp("hosts")):
        say(f"two hosts installed after {time.monotonic() - began:.0f} s")
        yield made


async def test_the_node_backs_up_its_bot_and_prometheus_knows_when(site: Site) -> None:
    """As the node's user, inside its unit; without it the doctor names the bot."""
    restored = 'trading_ops_backup_last_restore_test_timestamp_seconds{host="host-b"}'

    def tested() -> bool:
        return site.sum_of(restored) > 0

    await eventually(tested, within=300, what="a restore test on host B")
    assert site.sum_of('trading_ops_backup_failed{host="host-b"}') == 0
    (newest, *_) = json.loads(site.b("trading-ops backup list --output json"))["backups"]
    site.b(f"cd /tmp; trading-ops restore {newest['id']} --into /tmp/restored")
    assert site.b("ls /tmp/restored/bots/alpha").strip()
    found = json.loads(site.a("trading-ops doctor --output json || true"))["checks"]
    (check,) = (check for check in found if check["name"] == "records of bots of host-b")
    assert not check["warning"], check


async def test_doctor_is_content(site: Site) -> None:
    await eventually(lambda: not site.failed_checks(), within=60, what="doctor is content")


async def test_alerts_reach_the_reconciler_over_tls(site: Site) -> None:
    sent = 'alertmanager_notifications_total{integration="webhook"}'
    await eventually(lambda: site.sum_of(sent), within=60, what="a webhook was sent")
    assert site.sum_of(sent.replace("_total", "_failed_total")) == 0
    up = 'up{job=~"trading.*|prometheus|alertmanager"}'
    await eventually(lambda: site.sum_of(up) == TARGETS, within=60, what="all are scraped")


def test_a_token_without_a_certificate_is_refused(site: Site) -> None:
    began = time.monotonic()
    refused = site.asked(NODE)
    say(f"valid token, no certificate: {refused} ({time.monotonic() - began:.1f} s)")
    assert "alpha" not in refused
    assert "alpha" in site.asked(NODE, "reconciler")


async def test_a_host_that_is_cut_off_is_unknown_and_its_bot_is_not_restarted(site: Site) -> None:
    await site.calm()
    before, restarts = site.unit("InvocationID"), site.restarts()
    docker("network", "disconnect", site.network, site.b.container)
    began = time.monotonic()
    unknown = "outcome_unknown"
    await eventually(lambda: site.state_of("TradingBotDown") == unknown, within=60, what=unknown)
    say(f"network cut: the restart is of unknown outcome after {time.monotonic() - began:.1f} s")
    address = f"{SUBNET}5"
    docker("network", "connect", "--ip", address, site.network, site.b.container)
    began = time.monotonic()
    halted = "trading is halted"  # as unresponsive: known again, and released only by an operator
    await eventually(lambda: halted in site.a("trading-ops status || true"), within=60, what=halted)
    say(f"network back: the bot's state is known after {time.monotonic() - began:.1f} s")

    def over() -> bool:
        """Reported by Alertmanager, or seen before; a closed incident is not reported any more."""
        (last, *_) = site.incidents()
        return bool(last["resolved_at"] or last["closed_at"])

    await eventually(over, within=60, what="the alert is resolved")
    say(f"network back: the alert is resolved after {time.monotonic() - began:.1f} s")
    assert (site.unit("InvocationID"), site.restarts()) == (before, restarts)
    site.a("trading-ops resume alpha --reason 'the network is back'")
    await eventually(site.is_active, within=60, what=ACTIVE)


async def test_paging_goes_on_without_any_process_of_ours(site: Site) -> None:
    services = "trading-ops-reconciler trading-ops-exporter"
    site.a(f"systemctl kill -s KILL {services}; systemctl stop {services}")
    assert "/opt/trading-ops" not in site.a("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    began = time.monotonic()
    page = "[FIRING] TradingOpsReconcilerDown"
    await eventually(lambda: page in site.pages(), within=120, what="on-call is paged")
    say(f"all processes of ours stopped on host-a: paged after {time.monotonic() - began:.1f} s")
    site.a(f"systemctl start {services}")
    await eventually(lambda: not site.failed_checks(), within=60, what="doctor is content")


async def test_an_expired_certificate_is_refused_and_alerted(site: Site) -> None:
    agent = f"https://{SUBNET}5:8411/health"
    assert "Error" not in site.asked(NODE, "operator")
    site.a.put("/root/expire.py", EXPIRE)
    site.a(f"runuser -u trading-ops -- {PYTHON} - </root/expire.py")
    site.copy_certificate()
    began = time.monotonic()
    assert "certificate has expired" in site.asked(NODE, "reconciler")  # the server's
    assert "Remote" in site.asked(agent, "operator")  # the client's: cut before the token is read
    assert "401" in site.asked(agent, "reconciler")  # only the token is wrong
    site.a("trading-ops tls renew operator")
    await eventually(lambda: "node host-b" in site.failed_checks(), within=60, what="doctor")
    say(f"expired certificate: refused, seen by doctor after {time.monotonic() - began:.1f} s")
    name = "TradingOpsCertificateExpiring"
    await eventually(lambda: site.state_of(name), within=400, what=name)
    say(f"expired certificate: alert after {time.monotonic() - began:.0f} s")
    site.a("trading-ops tls renew host-b")
    site.copy_certificate()
    await eventually(lambda: not site.failed_checks(), within=60, what="doctor is content")
