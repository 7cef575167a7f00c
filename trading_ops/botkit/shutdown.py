"""The end of a bot: in order, each step with a deadline of its own, or at once and safe.

In order (SIGTERM, or one SIGINT): a step that fails or is late is named in the log, and the next
one follows; the whole ends before a service manager would kill the process. At once (two SIGINTs):
nothing is sent any more, the records are closed whole, and the venue's dead-man switch stays armed.
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
"""All steps together; a service manager kills 10 s after SIGTERM."""

MARGIN_SECONDS = 0.5
"""After the last step's deadline, for what no deadline reaches: a thread that hangs."""

RECORDS_SECONDS = 1.0
"""For closing the records when the end is to come at once."""

INTERRUPTED = 130
"""The exit code of an end at once, as a shell tells SIGINT."""

Seconds = Annotated[float, msgspec.Meta(gt=0)]


class ShutdownSeconds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The longest time of each step of an ordered end; together at most 9 s."""

    passes: Seconds = 0.5
    """Until no trading pass is made any more."""

    orders: Seconds = 3.5
    """For cancelling open orders, and hearing what became of them."""

    comparison: Seconds = 1.5
    """For a last comparison with the venue; left out when something before it was missed."""

    switch: Seconds = 0.5
    """For switching the dead-man switch off, when nothing is open."""

    mark: Seconds = 0.5
    """For writing down that this life ended in order."""

    components: Seconds = 1.0
    """For everything that runs but the records."""

    store: Seconds = 0.5
    """For closing the records."""

    watchers: Seconds = 0.3
    agent: Seconds = 0.7
    """For answering the last requests of others."""

    @property
    def total(self) -> float:
        """Return the time of all of them."""
        return float(sum(msgspec.structs.astuple(self)))


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of the end."""

    name: str
    seconds: float
    run: Callable[[], Awaitable[object]]
    only_if_whole: bool = False
    """Left out when a step before it was missed."""


async def walk(steps: Sequence[Step]) -> tuple[str, ...]:
    """Take every step in its turn; return the names of those that were missed. Never raises."""
    missed: list[str] = []
    for step in steps:
        if step.only_if_whole and missed:
            log.warning("stop_step_left_out", step=step.name, missed=list(missed))
            missed.append(step.name)
        elif not await _take(step):
            missed.append(step.name)
    return tuple(missed)


async def _take(step: Step) -> bool:
    began = clock.monotonic()
    # A task of its own: what swallows a cancellation must not keep the next step waiting.
    task = asyncio.ensure_future(_run(step))
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
    told = str(error) if isinstance(error, TradingOpsError) else repr(error)
    log.warning("stop_step_failed", step=step.name, seconds=spent, error=told)
    return False


async def _run(step: Step) -> None:
    await step.run()


class Wishes:
    """What signals have asked for: an ordered end, or an end at once.

    SIGTERM and the first SIGINT ask for an ordered end. The second SIGINT asks for an end at once,
    also after a SIGTERM; further SIGTERMs ask for nothing new, since service managers repeat them.
    """

    def __init__(self) -> None:
        """Begin with nothing asked; see `listen`."""
        self.end = asyncio.Event()
        self.at_once = asyncio.Event()
        self._interrupts = 0

    def listen(self) -> None:
        """Hear signals from now on, in the running loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.hear, number)

    def hear(self, number: signal.Signals) -> None:
        """Take one signal."""
        self._interrupts += number is signal.SIGINT
        if self._interrupts > 1:
            self.at_once.set()
        elif self.end.is_set():
            log.info("signal_repeated", signal=number.name, hint="two SIGINTs end at once")
        else:
            log.info("stop_asked", signal=number.name)
        self.end.set()


def exit_anyway(after_seconds: float, code: int = 0) -> None:
    """End the process after so long, whatever hangs: a thread, or the loop itself.

    What is committed is whole, and what is not was never promised.
    """

    def leave() -> None:
        log.error("stop_overdue", seconds=after_seconds)
        _leave(code)

    timer = threading.Timer(after_seconds, leave)
    timer.daemon = True
    timer.start()


async def leave_at_once(close_records: Callable[[], Awaitable[object]]) -> None:
    """Close the records whole and end the process; by now nothing can be sent any more."""
    exit_anyway(RECORDS_SECONDS + MARGIN_SECONDS, INTERRUPTED)
    await _take(Step(name="store", seconds=RECORDS_SECONDS, run=close_records))
    log.warning("bot_interrupted", hint="the dead-man switch stays armed")
    _leave(INTERRUPTED)


def _leave(code: int) -> None:
    logs.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
