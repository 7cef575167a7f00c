"""The jobs by name. Their modules are imported when they are needed."""

import importlib
from collections.abc import Mapping

from trading_ops.jobs.job import Job

JOBS: Mapping[str, str] = {
    "audit_verify": "trading_ops.jobs.work.commands:AUDIT_VERIFY",
}
"""The name of each job, and where its `Job` is, as MODULE:ATTRIBUTE."""


def load(name: str) -> Job:
    """Import and return a job."""
    module, _, attribute = JOBS[name].partition(":")
    found: Job = getattr(importlib.import_module(module), attribute)
    return found
