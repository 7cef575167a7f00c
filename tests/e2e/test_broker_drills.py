"""Bots at Alpaca and Interactive Brokers on a whole stack: the shipped drills, unchanged."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.free_ports import free_port
from tests.stack import ROOT, Stack, running_stack
from tests.waiting import eventually

pytestmark = pytest.mark.slow

BOTS = {"alpaca": "gamma", "ib": "delta"}


@pytest.fixture(scope="module")
def ports() -> dict[str, tuple[int, int, int]]:
    """Return the ports of broker, fault port and bot of each protocol."""
    return {bot: (free_port(), free_port(), free_port()) for bot in BOTS}


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, ports: dict[str, tuple[int, int, int]]
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("brokers")
    lines = []
    for protocol, (venue, faults, bot) in ports.items():
        lines.append(
            f"\n  - {{name: {protocol}, kind: venue, address: '127.0.0.1:{venue}',"
            f" faults: '127.0.0.1:{faults}', probe: false}}"
            f"\n  - {{name: {BOTS[protocol]}, kind: bot, venue: {protocol},"
            f" address: '127.0.0.1:{bot}'}}\n"
        )
    with running_stack(folder, "".join(lines)) as stack:
        (stack.settings.secrets / "broker_key").write_text("AKLAB")
        with started(stack, ports):
            yield stack


@contextmanager
def started(stack: Stack, ports: dict[str, tuple[int, int, int]]) -> Iterator[None]:
    """Run both brokers and both bots."""
    secrets, processes = str(stack.settings.secrets), []
    with (stack.settings.var / "brokers.log").open("wb") as log:
        for protocol, (venue, faults, bot) in ports.items():
            state = stack.settings.var / BOTS[protocol]
            state.mkdir(exist_ok=True)
            broker = ["-m", "trading_ops_lab.brokers", protocol, "--port", str(venue)]
            broker += ["--faults-port", str(faults), "--secrets", secrets]
            example = [str(ROOT / "examples" / "share_bot.py"), BOTS[protocol], str(bot), secrets]
            example += [str(state), protocol, f"127.0.0.1:{venue}"]
            for arguments in (broker, example):
                argv = ["env", f"PYTHONPATH={ROOT}", sys.executable, *arguments]
                processes.append(subprocess.Popen(argv, stdout=log, stderr=log))
        try:
            asyncio.run(eventually(lambda: recovered(stack) == len(BOTS), within=60, what="bots"))
            yield
        finally:
            for process in reversed(processes):
                process.terminate()
            for process in processes:
                process.wait(30)


def recovered(stack: Stack) -> int:
    """Return how many bots have compared themselves with their broker: a drill breaks a session."""
    log = (stack.settings.var / "brokers.log").read_text()
    return len(re.findall(r" recovered\b", log))


@pytest.mark.parametrize("protocol", list(BOTS))
@pytest.mark.parametrize("alert", ["TradingBotBrokerDisconnected", "TradingBotMarketDataStale"])
def test_it_is_remediated(stack: Stack, protocol: str, alert: str, tmp_path: Path) -> None:
    """By the runbook's first step; the evidence is the broker's own journal."""
    done = stack.run("drill", alert, "--bot", BOTS[protocol], within=240)
    log = stack.settings.var / "brokers.log"
    assert done.returncode == 0, done.stdout + done.stderr + log.read_text()[-3000:] + stack.logs()
    assert re.search(r"closed after .* evidence: the venue's journal", done.stdout), done.stdout
    print(protocol, alert, re.findall(r"closed after [\d.]+ s", done.stdout))  # noqa: T201
