"""“A bot on this host” of docs/install.md, followed literally, then the bot is killed.

Needs a Docker engine. TRADING_OPS_TEST_BASE names another base image than `debian:12`.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.composed import ROOT
from tests.compose.images import missing_tools
from tests.hosts.hosts import Host, running_host
from tests.hosts.site import RUN
from tests.waiting import eventually

WHY_NOT = missing_tools(compose=False)
pytestmark = [pytest.mark.hosts, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]

BOT = "/srv/trading-bot/alpha"
STARTED = "systemctl show -P InvocationID trading-bot@alpha"


@pytest.fixture(scope="module")
def host(image: str, package: Path) -> Iterator[Host]:
    """A host with a bot that the reconciler restarts."""
    section = (ROOT / "docs/install.md").read_text("utf-8").partition("### A bot on this host\n")[2]
    commands = section.partition("# host-1\n")[2].partition("```")[0]
    with running_host("host-1", image, package.parent) as run:
        run("sh deploy/setup.sh install")
        run(f"mkdir -p {BOT}")
        run.put(f"{BOT}/bot.py", (ROOT / "examples/asyncio_bot.py").read_text("utf-8"))
        run.put(f"{BOT}/run", RUN)
        run(f"chmod +x {BOT}/run")
        run(commands)
        run("sed -i 's|^observe_only: .*|observe_only: false|' /etc/trading-ops/settings.yml")
        run("systemctl restart trading-ops-reconciler")
        yield run


async def test_a_killed_bot_is_restarted(host: Host) -> None:
    active = "trading is active"
    await eventually(
        lambda: active in host("trading-ops status || true"), within=120, what="the bot trades"
    )
    before = host(STARTED)
    host("systemctl kill -s KILL trading-bot@alpha")
    incidents = "trading-ops incidents --alert TradingBotDown --output json"
    await eventually(lambda: "recovered" in host(incidents), within=180, what="it is recovered")
    assert host(STARTED) not in {before, "\n"}
    assert active in host("trading-ops status || true")
