"""Run the venue: `python -m trading_ops_lab.paper.venue --config FILE`.

Exit codes: 0 after SIGTERM or SIGINT, 1 if it could not start or continue, 2 if the configuration
is invalid.
"""

import argparse
import asyncio
import signal
import sys
from pathlib import Path
from typing import Final

from trading_ops import logs
from trading_ops.config.loading import load_log_policy
from trading_ops.errors import ConfigError, TradingOpsError
from trading_ops_lab.paper.venue.config import VenueConfig, load_config
from trading_ops_lab.paper.venue.venue import Venue

log = logs.get(__name__)

FAILED: Final = 1
MISCONFIGURED: Final = 2


def main(arguments: list[str] | None = None) -> int:
    """Run until stopped by a signal; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="trading_ops_lab.paper.venue", description="The paper venue."
    )
    parser.add_argument("--config", type=Path, required=True, help="the JSON configuration")
    options = parser.parse_args(arguments)
    logs.configure("venue")
    try:
        logs.configure("venue", policy=load_log_policy())
        return asyncio.run(run(load_config(options.config)))
    except ConfigError as error:
        log.error("venue_misconfigured", problem=str(error))  # noqa: TRY400  # no traceback
        return MISCONFIGURED
    except (TradingOpsError, OSError) as error:
        log.error("venue_start_failed", problem=str(error))  # noqa: TRY400  # no traceback
        return FAILED


async def run(config: VenueConfig) -> int:
    """Run the venue until a signal, or until it fails; return the exit code."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    venue = Venue(config)
    waits = [asyncio.create_task(event.wait()) for event in (stopped, venue.failed)]
    try:
        await venue.start()
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await venue.stop()
    return FAILED if venue.failed.is_set() else 0


if __name__ == "__main__":
    sys.exit(main())
