"""“Several hosts” of docs/install.md, followed literally on containers, then attacked.

Needs a Docker engine. TRADING_OPS_TEST_BASE names another base image than `debian:12`.
"""

import json
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.bench.say import say
from tests.compose.composed import ROOT
from tests.compose.images import docker, missing_tools
from tests.hosts.hosts import Host, running_host
from tests.waiting import eventually

WHY_NOT = missing_tools(compose=False)
pytestmark = [pytest.mark.long, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]

DOCUMENTED, SUBNET = "10.0.0.", "10.213.77."
BLOCK = re.compile(
    r"^```(?:sh|yaml)\n# (host-[ab])(?:: (\S+))?\n(.*?)^```", re.MULTILINE | re.DOTALL
)
SCP = '#!/bin/sh\nwhile [ $# -gt 1 ]; do cp "$1" /root-of-host-b; shift; done\n'
PYTHON = "/opt/trading-ops/current/bin/python"
RUN = f"#!/bin/sh\nexec {PYTHON} bot.py alpha 8411 secrets /var/lib/trading-bot/alpha\n"
NODE = f"https://{SUBNET}5:8461/processes"
TARGETS = 8  # scrapes: two of the bot, two of the reconciler, one of each other process
UNIT = "trading-bot@alpha"
EXPIRE = """
from datetime import timedelta
from pathlib import Path
from trading_ops.tls.authority import Authority, Wanted, issued

folder = Path("/var/lib/trading-ops/tls")
for one in issued(folder):
    if one.name in {"host-b", "operator"}:
        wanted = Wanted(one.name, one.hosts, one.calls)
        Authority(folder).issue(wanted, timedelta(seconds=-1))
"""
REQUEST = """
import ssl, sys, urllib.request
url, token, folder, *name = sys.argv[1:]
context = ssl.create_default_context(cafile=f"{folder}/ca.crt")
if name:
    context.load_cert_chain(f"{folder}/{name[0]}.crt", f"{folder}/{name[0]}.key")
bearer = {"Authorization": f"Bearer {open(token).read().strip()}"}
request = urllib.request.Request(url, headers=bearer)
try:
    print(urllib.request.urlopen(request, context=context, timeout=10).read().decode())
except OSError as error:
    print(type(error).__name__, error)
"""


@dataclass
class Site:
    """The two hosts, and the network between them."""

    network: str
    a: Host
    b: Host
    mail: str

    def incidents(self, *more: str) -> list[dict[str, Any]]:
        """The incidents of the bot, newest first."""
        command = " ".join(["trading-ops incidents --target alpha --output json", *more])
        found: list[dict[str, Any]] = json.loads(self.a(command))
        return found

    def unit(self, name: str) -> str:
        """A property of the bot's unit."""
        return self.b(f"systemctl show -P {name} {UNIT}").strip()

    def asked(self, url: str, certificate: str = "") -> str:
        """The answer to a request from host A with the node's valid token, or why there is none."""
        secrets = "/var/lib/trading-ops/secrets/node_token /var/lib/trading-ops/tls"
        return self.a(f"{PYTHON} /root/request.py '{url}' {secrets} {certificate}").strip()

    def sum_of(self, metric: str) -> float:
        """The sum of a metric in Prometheus."""
        url = f"https://{SUBNET}4:9090/api/v1/query?query=sum({metric})"
        result = json.loads(self.asked(url, "operator"))["data"]["result"]
        return float(result[0]["value"][1]) if result else 0.0

    def restarts(self) -> int:
        """How often the node has restarted the bot."""
        (process,) = json.loads(self.asked(NODE, "reconciler"))["processes"]
        return int(process["restarts"])

    def state_of(self, alert: str) -> str:
        """What the open incident of an alert waits for; empty without one."""
        found = json.loads(self.a("trading-ops incidents --open --output json"))
        return next((one["standing"]["state"] for one in found if one["alert"] == alert), "")

    def pages(self) -> str:
        """The mails that on-call got."""
        return docker("logs", self.mail)

    def copy_certificate(self) -> None:
        """Copy the node's certificate to its host."""
        names = "tls/host-b.crt tls/host-b.key"
        self.a(f"tar -C /var/lib/trading-ops -cf /root-of-host-b/node.tar {names}")
        self.b("tar -C /var/lib/trading-ops-node -xf /root/node.tar && rm /root/node.tar")
        self.b("chown -R trading-ops-node: /var/lib/trading-ops-node/tls")

    def failed_checks(self) -> set[str]:
        found = json.loads(self.a("trading-ops doctor --output json || true"))
        return {one["name"] for one in found["checks"] if not one["ok"]}


def bot() -> str:
    """The bot of the documentation, on its host's address."""
    text = (ROOT / "examples" / "asyncio_bot.py").read_text(encoding="utf-8")
    embedded = f'commands=commands, tls="tls", host="{SUBNET}5")'
    assert "commands=commands)" in text
    return text.replace("commands=commands)", embedded)


def follow_documentation(hosts: dict[str, Host]) -> None:
    """Run every command of the page, and write its files."""
    text = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    section = text.partition("## Several hosts")[2].partition("\n## ")[0]
    for name, path, block in BLOCK.findall(section.replace(DOCUMENTED, SUBNET)):
        if path:
            hosts[name].put(path, block)
        else:
            hosts[name](block)


@pytest.fixture(scope="module")
def site(image: str, package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two hosts and a mailbox."""
    shared = tmp_path_factory.mktemp("root-of-host-b")
    with ExitStack() as stack:
        network = f"hosts-{uuid.uuid4().hex[:8]}"
        docker("network", "create", "--subnet", f"{SUBNET}0/24", network)
        stack.callback(docker, "network", "rm", network)

        def host(name: str, number: int, at: str) -> Host:
            options = ["--network", network, "--ip", f"{SUBNET}{number}", "-v", f"{shared}:{at}"]
            return stack.enter_context(running_host(name, image, package.parent, *options))

        mail = f"mail-{network}"
        options = ["--name", mail, "--network", network, "--ip", f"{SUBNET}6"]
        sink = ["python3", "-u", "-W", "ignore", "-m", "smtpd", "-n", "-c", "DebuggingServer"]
        docker("run", "-d", *options, image, *sink, "0.0.0.0:25")
        stack.callback(docker, "rm", "-f", mail)
        made = Site(network, host("host-a", 4, "/root-of-host-b"), host("host-b", 5, "/root"), mail)
        made.a.put("/usr/local/bin/scp", SCP)
        made.a("chmod +x /usr/local/bin/scp")
        made.a.put("/root/request.py", REQUEST)
        made.b("mkdir -p /srv/trading-bot/alpha")
        made.b.put("/srv/trading-bot/alpha/bot.py", bot())
        made.b.put("/srv/trading-bot/alpha/run", RUN)
        made.b("chmod +x /srv/trading-bot/alpha/run")
        began = time.monotonic()
        follow_documentation({"host-a": made.a, "host-b": made.b})
        say(f"two hosts installed after {time.monotonic() - began:.0f} s")
        yield made


async def test_doctor_is_content(site: Site) -> None:
    await eventually(lambda: not site.failed_checks(), within=60, what="doctor is content")


async def test_alerts_reach_the_reconciler_over_tls(site: Site) -> None:
    sent = 'alertmanager_notifications_total{integration="webhook"}'
    await eventually(lambda: site.sum_of(sent), within=60, what="a webhook was sent")
    assert site.sum_of(sent.replace("_total", "_failed_total")) == 0
    assert site.sum_of('up{job=~"trading.*|prometheus|alertmanager"}') == TARGETS


def test_a_token_without_a_certificate_is_refused(site: Site) -> None:
    began = time.monotonic()
    refused = site.asked(NODE)
    say(f"valid token, no certificate: {refused} ({time.monotonic() - began:.1f} s)")
    assert "alpha" not in refused
    assert "alpha" in site.asked(NODE, "reconciler")


async def calm(site: Site) -> None:
    """Wait until what an earlier test left is over."""
    await eventually(lambda: not site.incidents("--open"), within=60, what="nothing is open")


async def test_a_killed_bot_is_restarted_and_verified(site: Site) -> None:
    await calm(site)
    before, known = site.unit("InvocationID"), len(site.incidents())
    site.b(f"kill -9 {site.unit('MainPID')}")
    began = time.monotonic()
    await eventually(lambda: site.unit("InvocationID") not in {"", before}, within=60)
    restarted = time.monotonic() - began

    def closed() -> list[dict[str, Any]]:
        found = site.incidents()
        fresh = found[: len(found) - known]
        return fresh if all(one["closed_at"] for one in fresh) else []

    fresh = await eventually(closed, within=60, what="its incident is closed")
    seconds = time.monotonic() - began
    say(f"bot killed: restarted after {restarted:.1f} s, closed after {seconds:.1f} s")
    assert "TradingBotDown" in {one["alert"] for one in fresh}, fresh
    assert {one["close_reason"] for one in fresh} == {"recovered"}, fresh
    assert site.unit("NRestarts") == "0"  # not by systemd on its own


async def test_a_host_that_is_cut_off_is_unknown_and_its_bot_is_not_restarted(site: Site) -> None:
    await calm(site)
    before, restarts = site.unit("InvocationID"), site.restarts()
    docker("network", "disconnect", site.network, site.b.container)
    began = time.monotonic()
    unknown = "outcome_unknown"
    await eventually(lambda: site.state_of("TradingBotDown") == unknown, within=60, what=unknown)
    say(f"network cut: the restart is of unknown outcome after {time.monotonic() - began:.1f} s")
    address = f"{SUBNET}5"
    docker("network", "connect", "--ip", address, site.network, site.b.container)
    began = time.monotonic()
    halted = "trading is halted"  # as silent: known again, and released by people only
    await eventually(lambda: halted in site.a("trading-ops status || true"), within=60, what=halted)
    say(f"network back: the bot's state is known after {time.monotonic() - began:.1f} s")

    def last() -> dict[str, Any]:
        return site.incidents("--alert TradingBotDown")[0]

    resolved = "the alert is resolved"
    await eventually(lambda: last()["resolved_at"], within=60, what=resolved)
    say(f"network back: {resolved} after {time.monotonic() - began:.1f} s")
    assert (site.unit("InvocationID"), site.restarts()) == (before, restarts)
    site.a("trading-ops resume alpha --reason 'the network is back'")
    active = "trading is active"
    await eventually(lambda: active in site.a("trading-ops status || true"), within=60, what=active)


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
