"""The bot as a process that can be killed cheaply and exactly.

A server of runs, as `tests.crash.reconciler` is one: each line on standard input starts one run
in a process forked for it. A trading run is the real bot, which kills itself at the n-th passing
of a named place. A settling run recovers, cancels what is open, submits nothing, and writes down
what it believes.
"""

import asyncio
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from tests.crash import bot_defects
from tests.crash.reconciler import report_to, serve_forks
from trading_ops import clock, logs
from trading_ops.agent import Denial
from trading_ops.botkit import failpoints
from trading_ops.botkit.failpoints import BotFailpoint
from trading_ops.botkit.orders.checks import Check
from trading_ops_lab.paper.bot.bot import Bot
from trading_ops_lab.paper.bot.brokerage.ccxt_kraken import kraken_class
from trading_ops_lab.paper.bot.config import load_config

POLL_SECONDS = 0.02


class Killer:
    """Kills its own process at the n-th passing of a place."""

    def __init__(self, place: BotFailpoint, nth: int) -> None:
        self._place, self._left = place, nth
        self._lock = threading.Lock()

    def __call__(self, place: BotFailpoint) -> None:
        """Count a passing."""
        if place is not self._place:
            return
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class SettlingBot(Bot):
    """Recovers and hears, but submits nothing."""

    def _checks(self) -> tuple[Check, ...]:
        return (lambda _intent: Denial(code="stopping", detail="it only settles"),)


def live(options: dict[str, Any]) -> int:
    """Be the bot until the end; return the exit code."""
    folder = Path(options["folder"])
    report_to(folder / "bot.log")
    logs.configure("bot", level="INFO")
    if options.get("plant"):
        bot_defects.plant(options["plant"])
    if options.get("place"):
        failpoints.watch(Killer(BotFailpoint(options["place"]), options["nth"]))
    settling = options.get("settle_seconds")
    asyncio.run(_settle(folder, settling) if settling else _trade(folder))
    return 0


async def _trade(folder: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    bot = Bot(load_config(folder / "bot.json"))
    await bot.start()
    await stop.wait()
    await bot.stop()


async def _settle(folder: Path, seconds: float) -> None:
    """Write down what the bot believes once it has recovered and nothing is open."""
    bot = SettlingBot(load_config(folder / "bot.json"))
    await bot.start()
    deadline = clock.monotonic() + seconds
    # Of several things, none with an event.
    while clock.monotonic() < deadline and not await _is_settled(bot):  # noqa: ASYNC110
        await asyncio.sleep(POLL_SECONDS)
    belief = {
        "recovered": bot.reconciliation.recovered,
        "detail": bot.reconciliation.detail,
        "alive": len(bot.book.open_orders()),
        "expected": {name: str(amount) for name, amount in bot.book.expected.items()},
        "positions": {name: str(held.quantity) for name, held in bot.book.positions.items()},
        "holds": sorted(hold.id for hold in bot.agent.holds.holds),
        "state": bot.agent.holds.state,
        "mode": bot.mode.mode,
    }
    (folder / "belief.json").write_text(json.dumps(belief))
    await bot.stop()


async def _is_settled(bot: Bot) -> bool:
    if not bot.reconciliation.recovered:
        # What only a person can settle stays as it is.
        return bool(bot.agent.holds.holds) and "person" in bot.reconciliation.detail
    try:
        await bot.orders.cancel_all()
        await bot.reconciliation.compare_now()
    except Exception as error:  # noqa: BLE001 - the venue may be slow to come back; until the end
        sys.stderr.write(f"not settled: {error!r}\n")
        return False
    return not bot.book.open_orders()


if __name__ == "__main__":
    kraken_class()  # once, and not in each run
    serve_forks(live)
