"""The hosts of docs/install.md, made by running its commands literally."""

import json
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.say import say
from tests.compose.composed import ROOT
from tests.compose.images import docker
from tests.hosts.hosts import Host, running_host
from tests.waiting import eventually

DOCUMENTED, SUBNET = "10.0.0.", "10.213.77."
ADDRESSES = {"host-a": 4, "host-b": 5, "mail": 6, "host-c": 7, "host-d": 8}
BLOCK = re.compile(
    r"^```(?:sh|yaml)\n# (host-[a-d])(?:: (\S+))?\n(.*?)^```", re.MULTILINE | re.DOTALL
)
SCP = """#!/bin/sh
for last; do :; done
to=/shared/${last%%:*}
while [ $# -gt 1 ]; do cp "$1" "$to"; shift; done
"""
PYTHON = "/opt/trading-ops/current/bin/python"
RUN = f"#!/bin/sh\nexec {PYTHON} bot.py alpha 8411 secrets /var/lib/trading-bot/alpha\n"
NODE = f"https://{SUBNET}5:8461/processes"
UNIT = "trading-bot@alpha"
ACTIVE = "trading is active"
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
    """The hosts, and the network between them."""

    image: str
    wheels: Path
    shared: Path
    network: str
    stack: ExitStack
    hosts: dict[str, Host] = field(default_factory=dict)

    @property
    def a(self) -> Host:
        """The host of the reconciler, Prometheus and Alertmanager."""
        return self.hosts["host-a"]

    @property
    def b(self) -> Host:
        """The host of the node and the bot."""
        return self.hosts["host-b"]

    def boot(self, *names: str) -> None:
        """Boot hosts; what `scp` copies to one is in its /root."""
        for name in names:
            (self.shared / name).mkdir()
            options = ["--network", self.network, "--ip", f"{SUBNET}{ADDRESSES[name]}"]
            options += ["-v", f"{self.shared / name}:/root", "-v", f"{self.shared}:/shared"]
            running = running_host(name, self.image, self.wheels, *options)
            self.hosts[name] = host = self.stack.enter_context(running)
            host.put("/usr/local/bin/scp", SCP)
            host("chmod +x /usr/local/bin/scp")

    def follow(self, section: str) -> None:
        """Run every command of a section of the page, and write its files."""
        text = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
        part = text.partition(f"## {section}\n")[2].partition("\n## ")[0]
        for name, path, block in BLOCK.findall(part.replace(DOCUMENTED, SUBNET)):
            if path:
                self.hosts[name].put(path, block)
            else:
                self.hosts[name](block)

    def incidents(self, *more: str, at: str = "host-a") -> list[dict[str, Any]]:
        """The incidents of the dead bot, newest first."""
        command = f"trading-ops incidents --alert TradingBotDown --output json {' '.join(more)}"
        found: list[dict[str, Any]] = json.loads(self.hosts[at](command))
        return found

    def unit(self, name: str) -> str:
        """A property of the bot's unit."""
        return self.b(f"systemctl show -P {name} {UNIT}").strip()

    def starts(self) -> int:
        """How often the bot's unit was started, by its host's journal."""
        journal = f"journalctl --unit {UNIT} --output cat"
        return int(self.b(f"{journal} | grep -c '^Started ' || true"))

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
        return next(
            (incident["status"]["state"] for incident in found if incident["alert"] == alert), ""
        )

    def pages(self) -> str:
        """The mails that on-call got."""
        return docker("logs", f"mail-{self.network}")

    def copy_certificate(self) -> None:
        """Copy the node's certificate to its host."""
        names = "tls/host-b.crt tls/host-b.key"
        self.a(f"tar -C /var/lib/trading-ops -cf /shared/host-b/node.tar {names}")
        self.b("tar -C /var/lib/trading-ops-node -xf /root/node.tar && rm /root/node.tar")
        self.b("chown -R trading-ops-node: /var/lib/trading-ops-node/tls")

    def failed_checks(self, at: str = "host-a") -> set[str]:
        """The checks of `doctor` that fail."""
        found = json.loads(self.hosts[at]("trading-ops doctor --output json || true"))
        return {check["name"] for check in found["checks"] if not check["ok"]}

    async def calm(self) -> None:
        """Wait until what an earlier test left is over; its restarts count for no budget."""
        await eventually(lambda: not self.incidents("--open"), within=120, what="nothing is open")
        self.a("trading-ops automation reset-budget alpha --reason 'next test'")
        await eventually(self.is_active, within=60, what=ACTIVE)

    def is_active(self) -> bool:
        """Whether the bot answers, and no hold restricts it."""
        return ACTIVE in self.a("trading-ops status || true")

    async def recovered(self, name: str, fault: Callable[[], object], at: str = "host-a") -> str:
        """Inject a fault; wait until the bot was started once and its new incidents are closed.

        Returns:
            The timelines of these incidents.
        """
        before, known = self.starts(), len(self.incidents(at=at))
        began = time.monotonic()
        fault()
        await eventually(lambda: self.starts() > before, within=120, what="it was started")
        started = time.monotonic() - began

        def closed() -> list[dict[str, Any]]:
            found = self.incidents(at=at)
            fresh = found[: len(found) - known]
            return fresh if all(incident["closed_at"] for incident in fresh) else []

        fresh = await eventually(closed, within=120, what="its incident is closed")
        seconds = time.monotonic() - began
        say(f"{name}: started after {started:.1f} s, closed after {seconds:.1f} s")
        assert {incident["close_reason"] for incident in fresh} == {"recovered"}, fresh
        assert self.starts() == before + 1
        assert self.unit("NRestarts") == "0"  # not by systemd on its own
        return "\n".join(
            self.hosts[at](f"trading-ops incidents show {incident['id']}") for incident in fresh
        )


def bot() -> str:
    """The bot of the documentation, on its host's address; SIGUSR1 makes it take 700 MB."""
    text = (ROOT / "examples" / "asyncio_bot.py").read_text(encoding="utf-8")
    embedded = f'commands=commands, tls="tls", host="{SUBNET}5")'
    assert "commands=commands)" in text
    hungry = "import signal\nsignal.signal(signal.SIGUSR1, lambda *_: b'x' * 700_000_000)\n"
    main = "asyncio.run(main())"
    text = text.replace("commands=commands)", embedded)
    return text.replace(main, f"{hungry}{main}")


def running_site(image: str, wheels: Path, shared: Path) -> Iterator[Site]:
    """Install “Several hosts”: two hosts, and a mailbox."""
    with ExitStack() as stack:
        network = f"hosts-{uuid.uuid4().hex[:8]}"
        docker("network", "create", "--subnet", f"{SUBNET}0/24", network)
        stack.callback(docker, "network", "rm", network)
        options = ["--name", f"mail-{network}", "--network", network]
        options += ["--ip", f"{SUBNET}{ADDRESSES['mail']}"]
        sink = ["python3", "-u", "-W", "ignore", "-m", "smtpd", "-n", "-c", "DebuggingServer"]
        docker("run", "-d", *options, image, *sink, "0.0.0.0:25")
        stack.callback(docker, "rm", "-f", f"mail-{network}")
        site = Site(image, wheels, shared, network, stack)
        site.boot("host-a", "host-b")
        site.a.put("/root/request.py", REQUEST)
        site.b("mkdir -p /srv/trading-bot/alpha")
        site.b.put("/srv/trading-bot/alpha/bot.py", bot())
        site.b.put("/srv/trading-bot/alpha/run", RUN)
        site.b("chmod +x /srv/trading-bot/alpha/run")
        site.follow("Several hosts")
        yield site
