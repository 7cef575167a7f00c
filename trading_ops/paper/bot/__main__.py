"""`python -m trading_ops.paper.bot --config FILE.json`: run one bot until SIGTERM or SIGINT."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from trading_ops import logs
from trading_ops.errors import TradingOpsError
from trading_ops.instrument.log_count import count_log
from trading_ops.paper.bot.bot import Bot
from trading_ops.paper.bot.config import BotConfig, load_config

FAILED = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bot; return 0 after an ordered end, 1 when it could not start."""
    parser = argparse.ArgumentParser(prog="trading_ops.paper.bot", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the bot's JSON file")
    arguments = parser.parse_args(argv)
    try:
        config = load_config(arguments.config)
        logs.configure(f"bot-{config.name}")
        asyncio.run(serve(config))
    except TradingOpsError as error:
        print(error, file=sys.stderr)  # noqa: T201 - one sentence for whoever started it
        return FAILED
    return 0


async def serve(config: BotConfig) -> None:
    """Start the bot, wait for a signal, stop it.

    Raises:
        TradingOpsError: it could not start.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    bot = Bot(config)
    count_log(bot.metrics)
    await bot.start()
    await stopping.wait()
    await bot.stop()


if __name__ == "__main__":
    sys.exit(main())
