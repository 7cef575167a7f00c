"""Faults in the bot's account and records."""

import asyncio
import contextlib
import os
import signal
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO, TypeVar

from trading_ops import clock
from trading_ops.botkit.orders.order import new_client_id
from trading_ops.domain.target import Target
from trading_ops.errors import FencedOff, SetupError, StackError
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.drills.preflight import OWNER
from trading_ops_lab.faults.base import Fault
from trading_ops_lab.faults.frozen_processes import pid_of
from trading_ops_lab.paper.bot.config import lock_state_dir

ORDER_WITHIN = timedelta(seconds=10)
RESTART_WITHIN = timedelta(seconds=20)
WAIT_SECONDS = 30.0
TICK_SECONDS = 0.1
SNOOZE_SECONDS = 3.0

T = TypeVar("T")


class OrphanedOrder(Fault):
    """An order with the bot's id that is missing from its records.

    As after a lost answer and a restore of older records. The bot compares its records with the
    venue each minute; that component is restarted so that it finds the order now and compares
    again only after the drill.
    """

    describe = "an order with one of the bot's ids is open at the venue but is not in its records"

    def __init__(self) -> None:
        self._id = ""

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Place the order far from the market and make the bot compare.

        Raises:
            StackError: the bot did not compare.
        """
        self._id = new_client_id(bot.name)
        await scene.faults(bot).trade(
            bot.name,
            pair="BTC/USD",
            type="buy",
            ordertype="limit",
            volume="0.0001",
            price="10000",
            cl_ord_id=self._id,
        )
        await look(scene, bot)
        return ""

    async def evidence(self, scene: Scene, bot: Target, since: float) -> str | None:
        """Look for the end of the order in the venue's journal."""
        journal = await scene.faults(bot).journal(since=since)
        ended = {event.client_order_id for event in journal if event.event == "order_cancelled"}
        return "the venue's journal has that order cancelled" if self._id in ended else None


class StartedUnder(Fault):
    """The bot is started while the venue does not answer its startup requests.

    It retries, which may bring it near its rate limit.
    """

    expected_failures = frozenset({"throttle_load"})

    def __init__(self, describe: str, kind: str, **details: Any) -> None:
        """Set the venue's fault."""
        self.describe = f"{describe}, and an operator restarts the bot"
        self._kind = kind
        self._details = details

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Break the venue, then restart the bot."""
        key = await scene.faults(bot).inject(self._kind, **self._details)
        await restart(scene, bot)
        return key

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Make the venue report it again, and the bot poll at its usual pace."""
        await scene.faults(bot).clear(key)
        await order(scene, bot, "throttle_load", seconds="0")


class LockedFolder(Fault):
    """The bot dies and another process has locked its folder: no restart can succeed."""

    describe = "the bot gets SIGKILL, and another process locks its folder"
    expected_failures = frozenset({"restart_bot"})

    def __init__(self) -> None:
        self._lock: TextIO | None = None

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Kill it, and lock its folder before it is restarted.

        Raises:
            StackError: it has no folder, or the folder could not be locked.
        """
        if bot.service is None:
            raise StackError(f"{bot.name} has no folder")
        await kill(scene, bot)
        path = scene.settings.var / bot.service.unit / "lock"
        self._lock = await until(lambda: _taken(path), "the bot's folder was not unlocked")
        return str(path)

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Release the folder and start the bot, like the paged operator."""
        del key
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        await restart(scene, bot)


class ExpiredSnooze(Fault):
    """An operator snoozed an incident, and the snooze expires while the alert still fires."""

    describe = "the venue is down, an operator snoozes that alert, and the snooze expires"

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Break the venue, wait for the incident, and snooze it for a few seconds."""
        since = clock.timestamp()
        key = await scene.faults(bot).inject("refuse")
        try:
            found = await until(
                lambda: _opened(scene, "TradingVenueDown", since), "no incident was opened"
            )
            await scene.reconciler.acknowledge(
                found, owner=OWNER, note="a drill", seconds=SNOOZE_SECONDS
            )
        except BaseException:
            await scene.faults(bot).clear(key)
            raise
        return key

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Clear the venue's fault."""
        await scene.faults(bot).clear(key)


async def kill(scene: Scene, bot: Target) -> int:
    """`kill -9` the bot; return the dead process's id."""
    pid = await pid_of(scene, bot)
    os.kill(pid, signal.SIGKILL)
    return pid


async def restart(scene: Scene, bot: Target) -> None:
    """Restart the bot through its service manager, like an operator."""
    unit = scene.directory.unit(bot)
    process = await unit.process()
    await unit.restart(
        incarnation=process.incarnation,
        attempt_id=str(uuid.uuid4()),
        fence=None,
        within=RESTART_WITHIN,
    )


async def look(scene: Scene, bot: Target) -> None:
    """Make the bot compare its records with its venue now.

    Raises:
        StackError: it did not.
    """
    await order(scene, bot, "restart_component", component="reconciliation")


async def order(scene: Scene, bot: Target, name: str, **params: str) -> None:
    """Send the bot's agent a command, like an operator.

    Raises:
        StackError: it did not.
    """
    try:
        await _order(scene, bot, name, params, fence=0)
    except FencedOff as error:
        await _order(scene, bot, name, params, fence=error.highest)


async def _order(
    scene: Scene, bot: Target, name: str, params: Mapping[str, str], *, fence: int
) -> None:
    answer = await scene.directory.bot(bot).command(
        name, params, attempt_id=str(uuid.uuid4()), fence=fence, within=ORDER_WITHIN
    )
    if not answer.succeeded:
        raise StackError(f"{bot.name} did not carry out {name}: {answer.detail}")


async def _opened(scene: Scene, alert: str, since: float) -> str | None:
    found = await scene.reconciler.incidents(alertname=alert, since=str(since))
    return found[0].id if found else None


async def _taken(path: Path) -> TextIO | None:
    with contextlib.suppress(SetupError):
        return lock_state_dir(path)
    return None


async def until(
    look: Callable[[], Awaitable[T | None]], otherwise: str, *, within: float | None = None
) -> T:
    """Return the result of a check once it finds something.

    Raises:
        StackError: timeout; the message is `otherwise`.
    """
    deadline = clock.monotonic() + (WAIT_SECONDS if within is None else within)
    while clock.monotonic() < deadline:
        found = await look()
        if found is not None:
            return found
        await asyncio.sleep(TICK_SECONDS)
    raise StackError(otherwise)
