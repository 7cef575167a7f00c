"""A process of our own user, with the bot's token, takes the bot's port while the bot is down."""

from pathlib import Path

import pytest

from tests.stack import Stack
from tests.waiting import eventually
from trading_ops.agent import Agent, Health
from trading_ops.config.targets import split_address
from trading_ops.domain.target import Kind
from trading_ops.instrument import BotMetrics
from trading_ops_lab.drills.lab_clients import Scene

pytestmark = pytest.mark.attacks

IMPOSTORS = "sum(trading_ops_impostors_refused_total)"


async def test_no_one_shot_action_is_based_on_its_answer(
    stack: Stack, scene: Scene, tmp_path: Path
) -> None:
    """The listener's user cannot tell it; the incarnation can."""
    bot = scene.registry.one(Kind.BOT)
    stack.supervisor.stop("bot-alpha")
    fake = Agent(
        name=bot.name,
        address=split_address(bot.address),
        metrics=BotMetrics(version="1", mode="paper"),
        health=Health,
        commands={},
        state_dir=tmp_path,
        metrics_token=stack.settings.secret("metrics_token"),
        agent_token=stack.settings.secret("agent_token_alpha"),
    )
    fake.start()
    try:
        done = await scene.reconciler.execute("roll_bot", "alpha", {}, owner="ada", reason="why")
        assert done.attempt is None
        assert done.refusal is not None
        assert done.refusal.reason == "target_impostor"

        async def counted() -> bool:
            found = await scene.prometheus.query(IMPOSTORS)
            return bool(found and found[0].value > 0)

        await eventually(counted, within=60)
        assert stack.processes()["bot-alpha"]["state"] == "stopped"
    finally:
        fake.stop()
    stack.supervisor.start("bot-alpha")
