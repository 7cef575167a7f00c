"""`python -m trading_ops_lab.paper.bot --config FILE.json`: run one bot until SIGTERM or SIGINT.

A second SIGINT ends it at once with 130: nothing more is sent, the records are closed cleanly, and
the venue's dead man's switch stays armed. `--observe` starts the bot on a copy of its state without
the account: a restore test uses it.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from trading_ops import logs
from trading_ops.agent.attempts import current_attempt
from trading_ops.botkit.leadership.lease import LeaseLost
from trading_ops.botkit.shutdown import INTERRUPTED, MARGIN_SECONDS, StopSignals, exit_after
from trading_ops.config.loading import load_log_policy
from trading_ops.errors import TradingOpsError
from trading_ops.instrument.heap import limit_heap
from trading_ops.instrument.log_count import count_log
from trading_ops.logs.tidying import file_handler
from trading_ops.redaction import redact
from trading_ops_lab.paper.bot.bot import Bot
from trading_ops_lab.paper.bot.config import BotConfig, load_config
from trading_ops_lab.paper.bot.failover import Ending
from trading_ops_lab.paper.bot.observe import observe

FAILED = 1
REPLACED = 5

ABANDON_SECONDS = 5.0
"""Time limit for the end of an instance that was replaced."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bot and return the exit code.

    0: a graceful shutdown. 1: it could not start. 5: another instance of the bot has taken over;
    started again, this one is a standby. 130: interrupted.
    """
    parser = argparse.ArgumentParser(prog="trading_ops_lab.paper.bot", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the bot's JSON file")
    parser.add_argument(
        "--observe",
        type=Path,
        metavar="FOLDER",
        help="start in observe mode on a copy of the state folder, print what it holds, and stop",
    )
    arguments = parser.parse_args(argv)
    try:
        config = load_config(arguments.config)
        if arguments.observe:
            logs.configure(f"bot-{config.name}", level="WARNING", bot=config.name)
            print(asyncio.run(observe(config, arguments.observe)))  # noqa: T201 - the answer
            return 0
        limit_heap()
        logs.configure(
            f"bot-{config.name}", policy=load_log_policy(config.log_dir), bot=config.name
        )
        logs.add_id("attempt", current_attempt.get)
        asyncio.run(serve(config, leave_by=exit_after))
    except LeaseLost as error:
        print(error, file=sys.stderr)  # noqa: T201 - the error message for the caller
        return REPLACED
    except TradingOpsError as error:
        print(redact(str(error)), file=sys.stderr)  # noqa: T201 - the error message for the caller
        return FAILED
    except KeyboardInterrupt:  # before the signal handlers are installed; nothing has started
        return INTERRUPTED
    return 0


async def serve(config: BotConfig, *, leave_by: Callable[[float], None] | None = None) -> None:
    """Start the bot, wait for a signal, and stop it.

    Args:
        config: of the bot.
        leave_by: ends the process after this many seconds, even if something hangs; None: no limit.

    Raises:
        TradingOpsError: it could not start.
    """
    signals = StopSignals()
    signals.install()
    bot = Bot(config)
    count_log(bot.metrics)
    if (written := file_handler()) is not None:
        written.on_drop = bot.metrics.log_lines_dropped
    running = asyncio.create_task(_run(bot, signals, leave_by), name="bot")
    overdue = asyncio.create_task(_limit_shutdown(config, signals, leave_by), name="overdue")
    at_once = asyncio.create_task(signals.immediate.wait(), name="at-once")
    try:
        await asyncio.wait({running, at_once}, return_when=asyncio.FIRST_COMPLETED)
        if at_once.done():
            await bot.interrupt()
        running.result()
    finally:
        for task in (overdue, at_once):
            task.cancel()


async def _run(bot: Bot, signals: StopSignals, leave_by: Callable[[float], None] | None) -> None:
    await bot.start()
    ending = await bot.failover.wait_for_end(signals.graceful) if bot.failover else Ending.REQUESTED
    if ending is Ending.REPLACED:
        if leave_by is not None:
            leave_by(ABANDON_SECONDS)
        await bot.abandon()
        raise LeaseLost("another instance of this bot leads. Start this one again as a standby")
    if ending is Ending.STEPS_DOWN:
        signals.graceful.set()  # starts the time limit of the shutdown
        await bot.stop()
        raise LeaseLost("this instance released the lease on request. Restart it as a standby")
    await signals.graceful.wait()
    await bot.stop()


async def _limit_shutdown(
    config: BotConfig, signals: StopSignals, leave_by: Callable[[float], None] | None
) -> None:
    await signals.graceful.wait()
    if leave_by is not None:
        leave_by(config.shutdown.total + MARGIN_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
