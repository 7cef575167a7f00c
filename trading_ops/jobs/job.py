"""What a job is: it can say what it would do, and it can do it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from trading_ops.config.settings import Settings
from trading_ops.domain.job import JobOutcome
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer


@dataclass(frozen=True)
class Result:
    """The outcome of a run and, in a sentence, why or what was done."""

    outcome: JobOutcome
    detail: str = ""


@dataclass(frozen=True)
class Step:
    """One thing that a job would do now."""

    what: str
    reason: str
    estimate: str = ""
    """Such as a size or a number of rows; empty: not known."""


@dataclass(frozen=True)
class Plan:
    """What a job would do now. Without steps and without a refusal there is nothing to do."""

    steps: tuple[Step, ...] = ()
    refused: str = ""
    """Why the job would not run."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a job works with."""

    settings: Settings
    writer: Writer
    reader: Reader
    timeout: timedelta
    """After which the run is cut off."""

    calendars: frozenset[str] = frozenset()
    """The exchange calendars that jobs.yml uses."""


class Job(Protocol):
    """One kind of recurring work.

    `run` decides again what is needed: time has passed since any plan. It is called in the event
    loop, so what blocks goes into a thread or a process of its own. A cancelled run must stop.
    """

    async def plan(self, context: Context) -> Plan:
        """Return what `run` would do now, and change nothing."""
        ...

    async def run(self, context: Context) -> Result:
        """Do it. An exception is the outcome `failed`."""
        ...
