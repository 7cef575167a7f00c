"""The stack in the background: `python -m trading_ops.stack ROOT REPORT_DESCRIPTOR`."""

import sys
from pathlib import Path

from trading_ops.stack.detach import run_detached

if __name__ == "__main__":
    sys.exit(run_detached(Path(sys.argv[1]), int(sys.argv[2])))
