"""The jobs by name. Their modules are imported on demand."""

import importlib
from collections.abc import Mapping

from trading_ops.jobs.job import Job

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
