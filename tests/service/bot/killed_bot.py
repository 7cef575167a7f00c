"""A bot process that is killed, interrupted or blocked at a named failpoint.

`python killed_bot.py CONFIG PLACE WHAT`: the first time it reaches the failpoint it is killed
(`kill`), gets SIGINT twice (`interrupt`), SIGTERM and SIGINT twice (`terminate`), or blocks in a
step (`hang`).
"""

import os
import signal
import sys
import time

from trading_ops.botkit import failpoints
from trading_ops.botkit.failpoints import BotFailpoint
from trading_ops_lab.paper.bot.__main__ import main

SIGNALS = {
    "kill": [signal.SIGKILL],
    "interrupt": [signal.SIGINT, signal.SIGINT],
    "terminate": [signal.SIGTERM, signal.SIGINT, signal.SIGINT],
}


def happen(config: str, where: str, what: str) -> None:
    left = [what]

    def at(place: BotFailpoint) -> None:
        if place == where and left:
            left.pop()
            if what == "hang":
                time.sleep(60)  # the loop itself is stuck
            for number in SIGNALS.get(what, []):
                os.kill(os.getpid(), number)
                time.sleep(0)

    failpoints.watch(at)
    sys.exit(main(["--config", config]))


if __name__ == "__main__":
    happen(*sys.argv[1:])
