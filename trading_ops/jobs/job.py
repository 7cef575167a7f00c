"""The interface of a job: plan a run, and run it."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from trading_ops.config.settings import Settings
from trading_ops.domain.job import JobOutcome
from trading_ops.jobs.schedule import Schedule
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer


@dataclass(frozen=True)
class JobResult:
    """The outcome of a run, and a sentence on the result or the reason."""

    outcome: JobOutcome
    detail: str = ""


@dataclass(frozen=True)
class PlannedStep:
    """One step that a job would take now."""

    what: str
    reason: str
    estimate: str = ""
    """For example a size or a number of rows; empty: unknown."""


@dataclass(frozen=True)
class Plan:
    """The steps that a job would take now; no steps and no refusal: nothing to do."""

    steps: tuple[PlannedStep, ...] = ()
    refused: str = ""
    """Why the job would not run."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """The services that a job uses."""

    settings: Settings
    writer: Writer
    reader: Reader
    schedule: Schedule
    timeout: timedelta
    """Time limit of a run."""

    calendars: frozenset[str] = frozenset()
    """The exchange calendars that jobs.yml uses."""


class Job(Protocol):
    """A kind of recurring work.

    `run` decides again what is needed, because time has passed since a plan. It is called in the
    event loop, so blocking work must run in a thread or a process. A cancelled run must stop.
    """

    async def plan(self, context: Context) -> Plan:
        """Return what `run` would do now, without changing anything."""
        ...

    async def run(self, context: Context) -> JobResult:
        """Run the job. An exception means the outcome `failed`."""
        ...


JOBS: Mapping[str, str] = {
    "audit_verify": "trading_ops.jobs.work.commands:AUDIT_VERIFY",
    "clean_up": "trading_ops.jobs.work.clean_up:CLEAN_UP",
    "database_optimize": "trading_ops.jobs.work.sqlite:OPTIMIZE",
    "database_reindex": "trading_ops.jobs.work.database:REINDEX",
    "database_report": "trading_ops.jobs.work.database_report:DATABASE_REPORT",
    "database_vacuum": "trading_ops.jobs.work.database:VACUUM",
    "report_daily": "trading_ops.jobs.work.reports:DAILY",
    "report_monthly": "trading_ops.jobs.work.reports:MONTHLY",
    "report_quarterly": "trading_ops.jobs.work.reports:QUARTERLY",
    "report_weekly": "trading_ops.jobs.work.reports:WEEKLY",
    "security_report": "trading_ops.jobs.work.security_report:SECURITY_REPORT",
    "trading_sessions": "trading_ops.jobs.work.sessions:TRADING_SESSIONS",
}
"""The name of each job, and where its `Job` is, as MODULE:ATTRIBUTE."""


def load(name: str) -> Job:
    """Import and return a job."""
    module, _, attribute = JOBS[name].partition(":")
    found: Job = getattr(importlib.import_module(module), attribute)
    return found
