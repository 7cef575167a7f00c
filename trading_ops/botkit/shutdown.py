"""Shutdown of a bot: graceful, in steps with a deadline each, or immediate.

Graceful (SIGTERM or one SIGINT): a step that fails or misses its deadline is logged, and the next
step runs; all of it ends before a service manager would send SIGKILL. Immediate (two SIGINTs): the
bot sends no more requests and closes its records; the venue's dead man's switch stays armed.

    signals = StopSignals()
    signals.install()
    await signals.graceful.wait()
    exit_after(seconds.total + MARGIN_SECONDS)
    missed = await run_steps(steps)
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec

from trading_ops import clock, logs
from trading_ops.errors import TradingOpsError

log = logs.get(__name__)

LONGEST_SECONDS = 9.0
"""Maximum of all steps together; service managers send SIGKILL 10 s after SIGTERM."""

MARGIN_SECONDS = 0.5
"""Time between the last step's deadline and a forced exit, in case a thread hangs."""

RECORDS_SECONDS = 1.0
"""Deadline for closing the records at an immediate shutdown."""

INTERRUPTED = 130
"""Exit code of an immediate shutdown: 128 + SIGINT, as shells report it."""

Seconds = Annotated[float, msgspec.Meta(gt=0)]


class ShutdownSeconds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The deadline of each step of a graceful shutdown, in seconds; together at most 9 s."""

    passes: Seconds = 0.5
    """Stop the trading passes."""

    orders: Seconds = 3.5
    """Cancel open orders and read their final state."""

    comparison: Seconds = 1.5
    """Reconcile with the venue again; skipped after a failed step."""

    switch: Seconds = 0.5
    """Disarm the dead man's switch, if no order is open."""

    mark: Seconds = 0.5
    """Record that this run ended cleanly."""

    components: Seconds = 1.0
    """Stop all components except the records."""

    store: Seconds = 0.5
    """Close the records."""

    watchers: Seconds = 0.3
    """Stop the watcher threads."""

    agent: Seconds = 0.7
    """Answer the requests in progress and stop the control server."""

    @property
    def total(self) -> float:
        """Return the sum of all deadlines in seconds."""
        return float(sum(msgspec.structs.astuple(self)))


@dataclass(frozen=True, kw_only=True)
class ShutdownStep:
    """One step of a graceful shutdown."""

    name: str
    """As in log lines."""

    seconds: float
    """Its deadline."""

    run: Callable[[], Awaitable[object]]
    """May raise; the error is logged."""

    skip_after_failure: bool = False
    """Whether to skip this step when an earlier one failed or missed its deadline."""


async def run_steps(steps: Sequence[ShutdownStep]) -> tuple[str, ...]:
    """Run the steps one after the other; never raises.

    A step that misses its deadline is cancelled; the next step does not wait until it has ended.

    Returns:
        The names of the steps that failed, missed their deadline or were skipped.
    """
    missed: list[str] = []
    for step in steps:
        if step.skip_after_failure and missed:
            log.warning("stop_step_skipped", step=step.name, missed=list(missed))
            missed.append(step.name)
        elif not await _run(step):
            missed.append(step.name)
    return tuple(missed)


async def _run(step: ShutdownStep) -> bool:
    began = clock.monotonic()
    # A separate task: a step that swallows its cancellation must not delay the next step.
    task = asyncio.ensure_future(_as_coroutine(step))
    done, _ = await asyncio.wait({task}, timeout=step.seconds)
    spent = round(clock.monotonic() - began, 3)
    if not done:
        task.cancel()
        log.warning("stop_step_late", step=step.name, seconds=spent)
        return False
    error = asyncio.CancelledError() if task.cancelled() else task.exception()
    if error is None:
        log.info("stop_step_done", step=step.name, seconds=spent)
        return True
    text = str(error) if isinstance(error, TradingOpsError) else repr(error)
    log.warning("stop_step_failed", step=step.name, seconds=spent, error=text)
    return False


async def _as_coroutine(step: ShutdownStep) -> None:
    await step.run()


class StopSignals:
    """Which shutdown the signals have requested: graceful or immediate.

    SIGTERM and the first SIGINT request a graceful shutdown. The second SIGINT requests an
    immediate one, also after a SIGTERM. Repeated SIGTERMs change nothing, because service managers
    repeat them.
    """

    def __init__(self) -> None:
        """Start with no request; `install` makes signals arrive here."""
        self.graceful = asyncio.Event()
        """Set when any shutdown is requested."""

        self.immediate = asyncio.Event()
        """Set when an immediate shutdown is requested."""

        self._interrupts = 0

    def install(self) -> None:
        """Handle SIGTERM and SIGINT from now on, in the running event loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.receive, number)

    def receive(self, number: signal.Signals) -> None:
        """Handle one signal."""
        self._interrupts += number is signal.SIGINT
        if self._interrupts > 1:
            self.immediate.set()
        elif self.graceful.is_set():
            log.info("signal_repeated", signal=number.name, hint="two SIGINTs stop immediately")
        else:
            log.info("stop_requested", signal=number.name)
        self.graceful.set()


def exit_after(after_seconds: float, code: int = 0) -> None:
    """Exit the process after `after_seconds`, even if a thread or the event loop hangs.

    Committed transactions are complete; nothing else was promised to be durable.
    """

    def leave() -> None:
        log.error("stop_overdue", seconds=after_seconds)
        _exit(code)

    timer = threading.Timer(after_seconds, leave)
    timer.daemon = True
    timer.start()


async def exit_now(close_records: Callable[[], Awaitable[object]]) -> None:
    """Close the records and exit with `INTERRUPTED`; the caller has stopped all requests."""
    exit_after(RECORDS_SECONDS + MARGIN_SECONDS, INTERRUPTED)
    await _run(ShutdownStep(name="store", seconds=RECORDS_SECONDS, run=close_records))
    log.warning("bot_interrupted", hint="the dead man's switch stays armed")
    _exit(INTERRUPTED)


def _exit(code: int) -> None:
    logs.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
