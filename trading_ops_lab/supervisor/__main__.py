"""The stack in the background: `python -m trading_ops_lab.supervisor ROOT REPORT_DESCRIPTOR`."""

import sys
from pathlib import Path

from trading_ops_lab.supervisor.detach import run_detached

if __name__ == "__main__":
    sys.exit(run_detached(Path(sys.argv[1]), int(sys.argv[2])))
