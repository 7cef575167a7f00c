"""Ends what an earlier stack left behind.

A supervisor that was killed takes its children along (the kernel tells them to end), but one that
is stopped or slow may still hold its port when the next stack starts. Processes are recognised by
pid and start time, so a stranger that got the same pid is never touched.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from trading_ops import clock, logs
from trading_ops.agent.durable import read_json
from trading_ops.agent.incarnation import incarnation
from trading_ops.errors import SetupError
from trading_ops.stack.process import STOP_SECONDS

_log = logs.get(__name__)

POLL_SECONDS = 0.05


def end_leftovers(
    record: Path, *, seconds: float = STOP_SECONDS, pause: Callable[[float], None] = time.sleep
) -> int:
    """End every process of the record that still lives; return how many there were.

    Args:
        record: what `Supervisor` wrote.
        seconds: until SIGKILL.
        pause: waits between two looks.
    """
    lives = [life for life in read_json(record).get("incarnations", {}).values() if life]
    left = [life for life in lives if _lives(life)]
    for life in left:
        _log.warning("leftover_found", incarnation=life)
        _signal(life, signal.SIGTERM)
        # A stopped process sees SIGTERM only when it goes on.
        _signal(life, signal.SIGCONT)
    deadline = clock.monotonic() + seconds
    killed = False
    while any(_lives(life) for life in left):
        if clock.monotonic() > deadline and not killed:
            killed = True
            for life in left:
                _signal(life, signal.SIGKILL)
        pause(POLL_SECONDS)
    return len(left)


def _lives(life: str) -> bool:
    pid = int(life.partition(":")[0])
    try:
        if incarnation(pid) != life:
            return False
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (SetupError, OSError):
        return False
    # A zombie holds nothing any more; its parent will fetch it.
    return not state.rpartition(")")[2].lstrip().startswith("Z")


def _signal(life: str, number: signal.Signals) -> None:
    if _lives(life):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(life.partition(":")[0]), number)
