"""Finds the processes left running by a dead supervisor of this folder, to adopt or stop them.

Each process has a mark in its environment: its var folder, its unit, and the supervisor that
started it. A pid in a file is useless in a copied folder, or when the file is lost; the mark stays
with the process.
"""

import contextlib
import hashlib
import os
import signal
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from trading_ops import clock, logs
from trading_ops.agent.incarnation import incarnation
from trading_ops.errors import SetupError
from trading_ops_lab.supervisor.process import STOP_SECONDS, Process

_log = logs.get(__name__)

VARIABLE = "TRADING_STACK_PROCESS"
"""Not TRADING_OPS_…: those are settings."""

POLL_SECONDS = 0.05


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """The mark of a process, in its environment."""

    var: str
    """Absolute path of the var folder."""

    unit: str
    supervisor: str
    """The incarnation of the supervisor that started it."""

    plan: str
    """The digest of its command line, see `digest`."""

    def variable(self) -> str:
        """Return it as NAME=value."""
        return f"{VARIABLE}={msgspec.json.encode(self).decode()}"


class Leftover(NamedTuple):
    """A running process whose supervisor is dead, and whose parent is not itself a leftover."""

    incarnation: str
    mark: Mark
    leads: bool
    """Whether it leads its session: the supervisor started it, not another process of the unit."""


def leftovers(var: Path) -> tuple[Leftover, ...]:
    """Return the running processes of this folder whose supervisor is dead.

    Their children are not listed: they end with their parents, or are listed afterwards.
    """
    marked = {pid: mark for pid, mark in _marked() if mark.var == str(var)}
    found = []
    for pid, mark in marked.items():
        with contextlib.suppress(SetupError, OSError):  # it has ended since
            state, parent, _group, session, *_ = _stat(pid)
            if state != "Z" and int(parent) not in marked and not lives(mark.supervisor):
                found.append(Leftover(incarnation(pid), mark, int(session) == pid))
    return tuple(found)


def digest(plan: Process) -> str:
    """Return a digest of how a process is started, to detect a changed plan."""
    started = msgspec.json.encode((plan.argv, plan.environment, plan.address))
    return hashlib.sha256(started).hexdigest()


def adoptable(var: Path, plans: Sequence[Process]) -> dict[str, str]:
    """Return the leftovers that match their plan: the incarnation by unit."""
    planned = {plan.unit: digest(plan) for plan in plans}
    return {
        leftover.mark.unit: leftover.incarnation
        for leftover in leftovers(var)
        if leftover.leads and planned.get(leftover.mark.unit) == leftover.mark.plan
    }


def end_leftovers(
    var: Path,
    *,
    keep: Collection[str] = (),
    seconds: float = STOP_SECONDS,
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Stop what `leftovers` finds, and return how many processes there were.

    Args:
        var: absolute path of the folder.
        keep: incarnations that are not stopped.
        seconds: until SIGKILL.
        pause: waits between two checks.
    """
    count = 0
    while left := [leftover for leftover in leftovers(var) if leftover.incarnation not in keep]:
        count += len(left)
        _end(left, seconds, pause)
    return count


def _end(left: Sequence[Leftover], seconds: float, pause: Callable[[float], None]) -> None:
    for leftover in left:
        _log.warning("leftover_found", unit=leftover.mark.unit, incarnation=leftover.incarnation)
        _signal(leftover.incarnation, signal.SIGTERM)
        # A stopped process handles SIGTERM only after SIGCONT.
        _signal(leftover.incarnation, signal.SIGCONT)
    deadline = clock.monotonic() + seconds
    while any(lives(leftover.incarnation) for leftover in left):
        if clock.monotonic() > deadline:
            for leftover in left:
                _signal(leftover.incarnation, signal.SIGKILL)
        pause(POLL_SECONDS)


def lives(life: str) -> bool:
    """Return whether this incarnation runs; a zombie does not."""
    pid = int(life.partition(":")[0])
    try:
        if incarnation(pid) != life:
            return False
        return _stat(pid)[0] != "Z"
    except (SetupError, OSError):
        return False


def _marked() -> Iterator[tuple[int, Mark]]:
    """Yield the pid and the mark of each process of this user that has one."""
    beginning = f"{VARIABLE}=".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
            found = [variable for variable in variables if variable.startswith(beginning)]
            if found:
                mark = msgspec.json.decode(found[0].removeprefix(beginning), type=Mark)
                yield int(folder.name), mark
        except (OSError, msgspec.DecodeError):
            continue  # it has ended, is another user's, or is not ours


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third on."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return text.rpartition(")")[2].split()


def _signal(life: str, number: signal.Signals) -> None:
    if lives(life):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(life.partition(":")[0]), number)
