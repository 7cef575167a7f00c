"""The exporter's process: `python -m trading_ops.exporter --config FILE`."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from trading_ops import logs
from trading_ops.errors import ConfigError
from trading_ops.exporter.config import ExporterConfig, load_config
from trading_ops.exporter.server import serving


async def _run(config: ExporterConfig) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with serving(config):
        await stopping.wait()


def main() -> int:
    """Run until SIGTERM; return the exit code."""
    parser = argparse.ArgumentParser(description="Exports metrics of the host and of venues.")
    parser.add_argument("--config", type=Path, required=True)
    arguments = parser.parse_args()
    logs.configure("exporter")
    try:
        asyncio.run(_run(load_config(arguments.config)))
    except (ConfigError, OSError) as error:
        logs.get(__name__).error("exporter_not_started", reason=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
