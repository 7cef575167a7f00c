"""The exporter's process: `python -m trading_ops.exporter --config FILE`.

Equivalent to `trading-ops export`, without importing the libraries of the command line.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from trading_ops import logs
from trading_ops.config.loading import load_log_policy
from trading_ops.errors import TradingOpsError
from trading_ops.exporter.config import load_config
from trading_ops.exporter.run import serve


def main() -> int:
    """Run until SIGTERM; return the exit code."""
    parser = argparse.ArgumentParser(description="Exports metrics of the host and of venues.")
    parser.add_argument("--config", type=Path, required=True)
    arguments = parser.parse_args()
    logs.configure("exporter")
    try:
        logs.configure("exporter", policy=load_log_policy())
        asyncio.run(serve(load_config(arguments.config)))
    except TradingOpsError as error:
        logs.get(__name__).error("exporter_not_started", reason=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
