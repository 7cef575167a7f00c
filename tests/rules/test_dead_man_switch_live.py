"""The dead man's switch: whatever of the way to a page dies, someone outside notices.

The shipped rules on a real Prometheus, the shipped routes on a real Alertmanager, with the address
as `settings.yml` gives it. Only times are shorter: a minute is a second here.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.rules.configuration import ALERTMANAGER, ROUTES, lay_out_prometheus, run_tool
from tests.rules.dead_man_service import Witness, run_witness
from tests.rules.receivers import run_receivers
from tests.rules.running_alertmanager import lay_out, start_alertmanager
from tests.rules.running_prometheus import start_prometheus
from tests.waiting import PATIENCE, eventually
from trading_ops_lab.supervisor.dead_man_switch import with_switch

BEAT = "1s"
"""In place of the minute between two signs of life."""

QUIET = 15.0
"""Seconds after which the witness pages: many beats, for a busy machine."""


class Watched(NamedTuple):
    """The way, and who listens at its end."""

    witness: Witness
    prometheus: AsyncExitStack
    """Closed: Prometheus is dead."""

    alertmanager: AsyncExitStack


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[Watched]:
    """Start both, and wait until the witness was called some times."""
    async with (
        run_receivers() as receivers,
        run_witness(QUIET) as witness,
        AsyncExitStack() as alertmanager,
        AsyncExitStack() as prometheus,
    ):
        config = lay_out(folder / "alertmanager", receivers)
        text = with_switch(config.read_text(encoding="utf-8"), witness.url)
        config.write_text(faster(text), encoding="utf-8")
        running = await alertmanager.enter_async_context(start_alertmanager(config))
        theirs = lay_out_prometheus(folder / "prometheus")
        targets = json.dumps([{"targets": [running.address]}])
        (theirs.parent / "targets" / "alertmanagers.json").write_text(targets, encoding="ascii")
        # By default an alert outlives its Prometheus by four minutes; so by 20 s.
        flags = ["--rules.alert.resend-delay=1s"]
        await prometheus.enter_async_context(start_prometheus(theirs, alertmanagers=1, flags=flags))
        await eventually(lambda: witness.calls >= 3, within=60, what="three signs of life")
        yield Watched(witness, prometheus, alertmanager)


def faster(text: str) -> str:
    """Let the switch be called each second."""
    slow = "      group_interval: 1m\n      repeat_interval: 1m\n"
    assert text.count(slow) == 1
    return text.replace(slow, slow.replace("1m", BEAT))


async def test_it_is_called_and_pages_no_one_while_all_is_well(tmp_path: Path) -> None:
    """With Watchdog alone: no alert of ours leaves the machine that way."""
    async with watched(tmp_path) as path:
        before = path.witness.calls
        await eventually(lambda: path.witness.calls >= before + 5, within=60, what="five more")
        assert path.witness.pages.empty()
        for body in path.witness.bodies:
            names = [alert["labels"]["alertname"] for alert in json.loads(body)["alerts"]]
            assert names == ["Watchdog"]


@pytest.mark.parametrize("who", ["prometheus", "alertmanager"])
async def test_it_pages_once_when_one_of_them_dies(tmp_path: Path, who: str) -> None:
    """And no one of ours has to live for that."""
    async with watched(tmp_path) as path:
        await getattr(path, who).aclose()
        page = await asyncio.wait_for(path.witness.pages.get(), 60 * PATIENCE)
        assert page == "not called for 15 s"
        assert path.witness.silent
        assert path.witness.pages.empty()


def test_the_switch_is_called_each_minute_as_committed(tmp_path: Path) -> None:
    """What the settings make of the file is accepted, and only Watchdog takes that route."""
    config = tmp_path / "alertmanager.yml"
    text = ROUTES.read_text(encoding="utf-8")
    (tmp_path / "templates").symlink_to(ALERTMANAGER / "templates")
    config.write_text(with_switch(text, "https://switch.example/ping/1"), encoding="utf-8")
    assert "SUCCESS" in run_tool("amtool", "check-config", config).stdout
    for name, receiver in (("Watchdog", "dead-man-switch"), ("Another", "oncall")):
        routes = run_tool(
            "amtool", "config", "routes", "test", f"--config.file={config}", f"alertname={name}"
        )
        assert routes.stdout.strip() == f"reconciler,{receiver}"
