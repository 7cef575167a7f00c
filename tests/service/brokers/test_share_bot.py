"""examples/share_bot.py on both local brokers: it trades, and SIGKILL loses nothing."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.rules.configuration import ROOT
from tests.service.brokers.conftest import KEY, alpaca_lab, tws_lab
from tests.service.examples.running import Example
from tests.waiting import eventually

pytestmark = pytest.mark.long

PYTHON = ("env", f"PYTHONPATH={ROOT}", sys.executable)
ORDERS = "trading_orders_total"
LABS = {"alpaca": alpaca_lab, "ib": tws_lab}


@pytest.mark.parametrize("protocol", list(LABS))
async def test_it_trades_and_survives_sigkill(protocol: str, tmp_path: Path) -> None:
    example = Example("share_bot.py", tmp_path / "bot")
    (example.folder / "broker_key").write_text(KEY)
    async with LABS[protocol]() as lab:
        try:
            await example.start(protocol, lab.address, python=PYTHON)
            await example.until(ORDERS, outcome="filled")
            await example.until("trading_balance", currency="AAPL")
            await example.until("trading_venue_rate_limit_used_ratio", group="calls")
            await eventually(lambda: example.events("trade"), what="a trade among its events")
            await example.kill()
            await example.start(protocol, lab.address, python=PYTHON)
            await example.until("trading_recovery_complete")
            await example.until(ORDERS, outcome="filled")
            assert not await example.value("trading_reconciliations_total", result="drifted")
            assert await example.value("trading_state", state="active") == 1
            for command, params in {
                "throttle_load": {"seconds": "60"},
                "cancel_orders": {},
            }.items():
                assert (await example.command(command, **params))["outcome"] == "succeeded"
            assert example.process is not None
            example.process.terminate()
            assert await asyncio.wait_for(example.process.wait(), 60) == 0
        finally:
            await example.kill()
