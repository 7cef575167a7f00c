"""Reports of jobs: the findings, stored as one event and as the detail of the run."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from trading_ops.domain.job import JobOutcome
from trading_ops.domain.report import Finding
from trading_ops.jobs.job import Context, JobResult
from trading_ops.store import Connection, events, search

READ = 60
"""Number of earlier reports to read: two months, with one a day."""


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """One earlier report."""

    at: datetime
    after: dict[str, Any]


async def earlier(context: Context, kind: str) -> list[Recorded]:
    """Return the earlier reports of a kind, the newest first."""
    return await context.reader.read(partial(_earlier, kind=kind))


async def record(
    context: Context,
    kind: str,
    findings: Sequence[Finding],
    *,
    now: datetime,
    facts: dict[str, Any],
) -> JobResult:
    """Store a report as an event, and return it as the result of the run.

    Args:
        context: of the run.
        kind: of the event.
        findings: each is a sentence of the detail.
        now: of the event.
        facts: data for the next report, and figures without a finding.
    """
    after = {"findings": [msgspec.to_builtins(finding) for finding in findings], **facts}
    add = partial(events.add, at=now, kind=kind, note=summary(findings), after=after)
    await context.writer.run(add)
    is_wrong = any(finding.fails for finding in findings)
    return JobResult(JobOutcome.FAILED if is_wrong else JobOutcome.DONE, summary(findings))


def summary(findings: Sequence[Finding]) -> str:
    """Return the findings on one line."""
    count = f"{len(findings)} finding{'s' if len(findings) != 1 else ''}"
    return (
        f"{count}: {'; '.join(finding.text for finding in findings)}" if findings else "no findings"
    )


def _earlier(connection: Connection, *, kind: str) -> list[Recorded]:
    found = search.find_events(connection, kind=kind, span=search.TimeRange(), limit=READ)
    return [
        Recorded(at=report.at, after=msgspec.json.decode(report.after or "{}", type=dict[str, Any]))
        for report in found
    ]
