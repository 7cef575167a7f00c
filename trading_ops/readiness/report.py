"""The signed report of a run: criteria, evidence and the head of the audit chain."""

import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from trading_ops.clients.readiness_views import (
    CriterionView,
    ReadinessReport,
    ReadinessRunView,
    SignedReport,
)
from trading_ops.domain.readiness import (
    Criterion,
    CriterionStatus,
    Limit,
    missing,
    regressed,
    sign_off_due,
)
from trading_ops.store.audit_chain import Head
from trading_ops.store.readiness import StoredRun

HOUR = timedelta(hours=1)


def view(stored: StoredRun, now: datetime) -> ReadinessRunView:
    """Return a run in the API's format."""
    plan, run = stored.plan, stored.run
    stage = plan.stages[run.stage]
    phases = list(dict.fromkeys(stage.phase for stage in plan.stages))
    done = phases[: phases.index(stage.phase)]
    if run.ready and (run.stage + 1 == len(plan.stages) or _is_last_of_phase(stored)):
        done.append(stage.phase)
    owners = {
        criterion.name: at.phase for at in plan.stages[: run.stage + 1] for criterion in at.criteria
    }
    return ReadinessRunView(
        id=run.id,
        bot=run.bot,
        state=run.state.value,
        phase=stage.phase,
        stage=stage.name,
        number=run.stage + 1,
        stages=len(plan.stages),
        hours=round(run.credited / HOUR, 3),
        hours_needed=stage.hours,
        ready=run.ready,
        missing="" if run.ready else missing(plan, run, now),
        breaches=run.breaches,
        reason=run.reason,
        regressed=regressed(run),
        passed_phases=done,
        sign_off_due=sign_off_due(plan, run),
        begun_at=run.begun_at,
        evaluated_until=run.evaluated_until,
        criteria=[
            _criterion(stored, criterion, owners[name])
            for name, criterion in plan.criteria(run.stage).items()
        ],
    )


def _is_last_of_phase(stored: StoredRun) -> bool:
    stages, at = stored.plan.stages, stored.run.stage
    return stages[at + 1].phase != stages[at].phase


def _criterion(stored: StoredRun, criterion: Criterion, phase: str) -> CriterionView:
    result = stored.run.results.get(criterion.name)
    source = (
        criterion.query
        or criterion.check
        or " ".join(criterion.command)
        or ", ".join(criterion.verified or criterion.drilled)
    )
    limit = str(criterion.limit) if criterion.limit else _UNWRITTEN[criterion.restarts]
    return CriterionView(
        name=criterion.name,
        phase=phase,
        source=source,
        limit=limit,
        status=result.status if result else CriterionStatus.UNKNOWN,
        value=result.value if result else None,
        evidence=result.evidence if result else "not measured yet",
        at=result.at if result else None,
    )


_UNWRITTEN = {True: "no unexplained restart", False: "passes"}

PASSES = Limit(operator="<=", value=0.0)
"""The default limit of a command: its exit code is 0."""


def sign(report: ReadinessReport, key: bytes) -> SignedReport:
    """Return a report with its signature."""
    return SignedReport(report=report, signature=_mac(msgspec.to_builtins(report), key))


def make(stored: StoredRun, head: Head, now: datetime) -> ReadinessReport:
    """Return the report of a run at a given time."""
    return ReadinessReport(at=now, run=view(stored, now), audit_seq=head.seq, audit_mac=head.mac)


def is_genuine(text: bytes, keys: Sequence[bytes]) -> bool:
    """Whether a JSON report was signed with one of the keys and not changed since.

    Raises:
        msgspec.DecodeError: it is not a report.
    """
    given: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
    if given.keys() != {"report", "signature"}:
        raise msgspec.DecodeError("the keys `report` and `signature` are required")
    signature = str(given["signature"]).encode("utf-8", "replace")
    return any(hmac.compare_digest(signature, _mac(given["report"], key).encode()) for key in keys)


def _mac(report: Any, key: bytes) -> str:
    text = msgspec.json.encode(["readiness", report], order="deterministic")
    return hmac.digest(key, text, "sha256").hex()
