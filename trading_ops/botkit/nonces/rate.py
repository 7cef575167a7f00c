"""How many nonces a second this machine issues: `python -m trading_ops.botkit.nonces.rate`.

A criterion of the readiness report runs it.
"""

import sys
import tempfile
import time
from pathlib import Path

from trading_ops.botkit.nonces.exclusive import ExclusiveSource

NONCES = 20_000


def rate(folder: Path) -> float:
    """Return the nonces per second of one process, each durable before it is used."""
    owner = ExclusiveSource(folder / "key")
    try:
        began = time.monotonic()
        for _ in range(NONCES):
            owner.issue()
        return NONCES / (time.monotonic() - began)
    finally:
        owner.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(f"{rate(Path(folder)):.0f}\n")
