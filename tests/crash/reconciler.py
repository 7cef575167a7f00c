"""The reconciler as a process that can be killed cheaply and exactly.

This is a server of runs: everything is imported once, then each line on standard input starts
one run, in a process forked for it. A run is the real reconciler, `app.process.serve`, that
kills or freezes itself at the n-th passing of a named failpoint. Each run ends in one line on
standard output: the wait status.
"""

import asyncio
import functools
import gc
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.crash import defects
from trading_ops import logs
from trading_ops.app import process as app
from trading_ops.config.loading import load_settings
from trading_ops.config.targets import load_targets
from trading_ops.domain.decision import GlobalLimits
from trading_ops.reconciler import crash_recovery, lease
from trading_ops.store import failpoints, leases
from trading_ops.store.failpoints import Failpoint

FAST = functools.partial(
    GlobalLimits,
    attempts=10**9,
    storm_targets=10**9,
    minimum_healthy_share=0.0,
    flap_episodes=10**9,
)
"""Thousands of episodes in minutes: that is what the global limits are there to stop."""


class Ender:
    """Sends a signal to its own process at the n-th passing of a place."""

    def __init__(self, place: Failpoint, nth: int, number: signal.Signals) -> None:
        self._place, self._left, self._signal = place, nth, number
        self._lock = threading.Lock()  # the writer's thread passes places too

    def __call__(self, place: Failpoint) -> None:
        """Count a passing."""
        if place is not self._place:
            return
        with self._lock:
            self._left -= 1
            due = self._left == 0
        if due:
            os.kill(os.getpid(), self._signal)


def live(options: dict[str, Any]) -> int:
    """Be the reconciler until the end; return the exit code."""
    folder = Path(options["folder"])
    report_to(folder / "reconciler.log")
    if options.get("traced"):
        _wait_for_tracer()
    if options.get("plant"):
        defects.plant(options["plant"])
    if options.get("failpoint"):
        number = signal.Signals[options.get("signal", "SIGKILL")]
        place = Failpoint(options["failpoint"])
        failpoints.watch(Ender(place, options.get("nth", 1), number))
    if options.get("lease"):
        _shorten_leases(options["lease"])
    logs.configure("reconciler", level="WARNING")
    _remove_limits()
    try:
        asyncio.run(_serve(folder, options))
    except Exception as error:  # noqa: BLE001 - whatever it is, this process must not fork again
        sys.stderr.write(f"{error!r}\n")
        return 1
    return 0


async def _serve(folder: Path, options: dict[str, Any]) -> None:
    settings = load_settings(folder, options["environ"])
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await app.serve(settings, load_targets(folder / "targets.yml"), stop)


def _remove_limits() -> None:
    """Put `FAST` in the place of the global limits wherever the reconciler is put together.

    Nor is an incident set aside: these runs are killed from outside, thousands of times.
    """
    crash_recovery.LIMIT = 10**9
    wired = [
        vars(module)
        for name, module in list(sys.modules.items())
        if name.startswith("trading_ops.app.") and "limits_of" in vars(module)
    ]
    assert wired, "the global limits are wired elsewhere now"
    for names in wired:
        names["limits_of"] = lambda _settings: FAST()


def _shorten_leases(seconds: float) -> None:
    """Shorten leases in proportion: a sweep cannot wait fifteen seconds a thousand times."""
    leases.LEASE = timedelta(seconds=seconds)
    leases.MARGIN = timedelta(seconds=seconds / 3)
    lease.LEASE_SECONDS = seconds
    lease.USABLE_SECONDS = seconds * 2 / 3
    lease.RENEW_SECONDS = lease.RETRY_SECONDS = seconds / 3


def report_to(path: Path) -> None:
    """Leave the server's own pipes to it."""
    null = os.open(os.devnull, os.O_RDWR)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for old, new in ((null, 0), (log, 1), (log, 2)):
        os.dup2(old, new)


def _wait_for_tracer() -> None:
    """Go on only when strace has hold of this process."""
    while "TracerPid:\t0" in Path("/proc/self/status").read_text("ascii"):
        threading.Event().wait(0.005)


def serve_forks(be: Callable[[dict[str, Any]], int]) -> None:
    """Fork processes that run `be` until standard input ends."""
    gc.collect()
    gc.freeze()
    for line in sys.stdin.buffer:
        options = json.loads(line)
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                code = be(options)
            finally:
                os._exit(code)
        _say({"pid": pid})
        _, status = os.waitpid(pid, 0)
        _say({"status": os.waitstatus_to_exitcode(status)})


def _say(value: dict[str, Any]) -> None:
    os.write(1, json.dumps(value).encode() + b"\n")


if __name__ == "__main__":
    serve_forks(live)
