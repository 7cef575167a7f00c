"""A model that the bot gave up on: the cause of its crashes is fixed, but it was not restarted.

The bot is first configured to use only its model, because its moving averages would replace it: a
configuration change with a restart. Then the model crashes at each request until the bot gives up
on it. The cause then goes away, and the bot stays without its model.
"""

import contextlib
import json
from pathlib import Path
from typing import Final

import psutil

from trading_ops.domain.target import Target
from trading_ops.errors import ClientError, StackError
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.faults.account import restart, until
from trading_ops_lab.faults.base import Fault
from trading_ops_lab.faults.frozen_processes import pid_of
from trading_ops_lab.paper.bot.signals.faults import ModelFault, break_model, repair_model
from trading_ops_lab.paper.bot.signals.model import MODULE
from trading_ops_lab.supervisor.layout import config_file, state_folder

SIGNALS: Final = {"source": "model", "fallback": False, "max_restarts": 2}
"""The bot's configuration for the drill."""

DECIDES, GAVE_UP = "the model decides", "gave up"
"""State of the signals in the bot's health."""


class AbandonedModel(Fault):
    """The bot gives up on its model; the evidence is its new process."""

    describe = (
        "the bot uses only its model, whose process died at each request until the bot stopped "
        "restarting it"
    )

    def __init__(self) -> None:
        self._before = ""

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Make the bot use only its model, and break the model until the bot gives up on it.

        Raises:
            StackError: the bot has no configuration here, or did not give up on the model.
        """
        config = _config(scene, bot)
        self._before = config.read_text(encoding="utf-8")
        try:
            wanted = json.loads(self._before) | {"signals": SIGNALS}
            config.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")
            await restart(scene, bot)
            await _wait_for_detail(scene, bot, DECIDES)
            await _make_it_give_up(scene, bot)
        except BaseException:
            await self.clean_up(scene, bot, str(config))
            raise
        return str(config)

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Restore the bot's configuration, and restart it."""
        del key
        repair_model(_folder(scene, bot))
        _config(scene, bot).write_text(self._before, encoding="utf-8")
        await restart(scene, bot)

    async def evidence(self, scene: Scene, bot: Target, since: float) -> str | None:
        """Look for a process of the model: there was none after the bot gave up on it."""
        del since
        begun = model_of(await pid_of(scene, bot))
        return None if begun is None else f"the model has a new process, {begun}"


def model_of(bot_pid: int) -> int | None:
    """Return the pid of a bot's model; None: it has no process."""
    for process in psutil.Process(bot_pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if MODULE in process.cmdline():
                return process.pid
    return None


async def _make_it_give_up(scene: Scene, bot: Target) -> None:
    break_model(_folder(scene, bot), ModelFault.CRASH)
    await _wait_for_detail(scene, bot, GAVE_UP)
    repair_model(_folder(scene, bot))
    if model_of(await pid_of(scene, bot)) is not None:
        raise StackError(f"{bot.name} gave up on its model but still runs it")


async def _wait_for_detail(scene: Scene, bot: Target, text: str) -> None:
    async def look() -> bool | None:
        try:
            health = await scene.directory.bot(bot).health()
        except ClientError:
            return None  # it is starting
        signals = health.components.get("signals")
        return True if signals is not None and text in signals.detail else None

    await until(look, f"{bot.name} does not report for its signals: {text}")


def _config(scene: Scene, bot: Target) -> Path:
    return config_file(scene.settings, _unit(bot))


def _folder(scene: Scene, bot: Target) -> Path:
    return state_folder(scene.settings, _unit(bot))


def _unit(bot: Target) -> str:
    if bot.service is None:
        raise StackError(f"{bot.name} has no configuration file here")
    return bot.service.unit
