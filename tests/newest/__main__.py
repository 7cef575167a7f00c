"""`python -m tests.newest [VERSION VERSION]`: the eight fastest drills on the binaries of the PATH.

The versions of Prometheus and Alertmanager are for builds that do not know their own.

Replaces what docs/newest.json and docs/proofs.md have of these versions. Ends with 1, and changes
nothing, when a drill failed. `scripts/test-newest.sh` runs it once for each generation.
"""

import sys
import tempfile
from pathlib import Path

from tests.bench.say import say
from tests.newest.record import DRILLS, Generation, merged, read, seconds_of, write
from tests.stack import running_stack
from trading_ops import clock
from trading_ops_lab.drills.gameday_page import read as read_game_day

WITHIN = 1800.0


def measured(prometheus: str, alertmanager: str) -> Generation | None:
    """Run the drills, one after the other; None when one of them failed."""
    with tempfile.TemporaryDirectory(prefix="newest-") as name:
        folder = Path(name)
        only = [argument for drill in DRILLS for argument in ("--only", drill)]
        with running_stack(folder) as stack:
            arguments = ("gameday", "--without-paused", *only, "--record", name)
            done = stack.run(*arguments, within=WITHIN)
        say(done.stdout + done.stderr)
        record = read_game_day(folder)
        if done.returncode or record is None:
            return None
        return Generation(
            prometheus=record.versions["Prometheus"] or prometheus,
            alertmanager=record.versions["Alertmanager"] or alertmanager,
            measured=clock.now().date().isoformat(),
            seconds=seconds_of(record.drills),
        )


def main() -> int:
    """Run, and keep the seconds."""
    prometheus, alertmanager = sys.argv[1:] or ("unknown", "unknown")
    found = measured(prometheus, alertmanager)
    if found is None:
        return 1
    write(merged(read(), found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
