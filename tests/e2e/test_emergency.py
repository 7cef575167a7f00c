"""A bot that dies with open positions while automation is paused: an emergency for both lines."""

import os
import signal

import pytest

from tests.stack import Stack
from tests.waiting import eventually
from trading_ops_lab.drills.lab_clients import Scene

pytestmark = pytest.mark.long

ALERT = "TradingBotPositionUnattended"
WITHIN_SECONDS = 240.0
"""Two minutes of the rule, and what Prometheus, Alertmanager and the mails need."""


async def test_open_positions_of_a_dead_bot_page_both_lines(stack: Stack, scene: Scene) -> None:
    """Both get the same mail, and the alert ends when the bot is back."""

    async def exposed() -> bool:
        return bool(await scene.prometheus.query('trading_exposure{bot="alpha"} > 0'))

    async def mailed_to() -> set[str]:
        """Return who has a mail on the emergency."""
        mails = [
            path.read_text(errors="replace") for path in (stack.settings.var / "mail").glob("*.eml")
        ]
        return {
            who
            for who in ("on-call", "oncall-secondary")
            for mail in mails
            if f"To: {who}@" in mail and f"[FIRING] {ALERT}" in mail
        }

    async def both() -> bool:
        return await mailed_to() == {"on-call", "oncall-secondary"}

    async def over() -> bool:
        return not await scene.reconciler.incidents(alertname=ALERT, open="true")

    await eventually(exposed, within=WITHIN_SECONDS, what="the bot holds a position")
    paused = stack.run("automation", "pause", "--for", "10m", "--reason", "nobody is at work")
    assert paused.returncode == 0, paused.stderr
    try:
        os.kill(stack.processes()["bot-alpha"]["pid"], signal.SIGKILL)
        await eventually(both, within=WITHIN_SECONDS, what="both lines have a mail")
    finally:
        stack.run("automation", "resume")
    await eventually(over, within=WITHIN_SECONDS, what="the emergency is over")
