"""Readiness in the API's answers, as the command line reads it."""

from datetime import datetime
from typing import Annotated

import msgspec

from trading_ops.domain.readiness import CriterionStatus

KEPT_CHARACTERS = 200
"""Maximum length of a check's text in the evidence."""


class CriterionView(msgspec.Struct, kw_only=True):
    """One criterion in force."""

    name: str
    phase: str
    source: str
    """The query, the check, the command or the actions."""

    limit: str
    status: CriterionStatus
    value: float | None
    evidence: str
    at: datetime | None


class ReadinessRunView(msgspec.Struct, kw_only=True):
    """One bot's run."""

    id: str
    bot: str
    state: str
    phase: str
    stage: str
    number: int
    """Of the stage, from 1."""

    stages: int
    hours: float
    hours_needed: float
    ready: bool
    """Whether every condition of the stage is met."""

    missing: str
    """Unmet conditions of the stage."""

    breaches: int
    reason: str
    """Reason of the last step back."""

    regressed: list[str]
    """Criteria that passed before and fail now."""

    passed_phases: list[str]
    sign_off_due: datetime | None
    begun_at: datetime
    evaluated_until: datetime
    criteria: list[CriterionView]


class ReadinessReport(msgspec.Struct, kw_only=True):
    """The signed content."""

    at: datetime
    run: ReadinessRunView
    audit_seq: int
    audit_mac: str


class SignedReport(msgspec.Struct, kw_only=True):
    """A report and its HMAC-SHA256 with the audit key."""

    report: ReadinessReport
    signature: str


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a check; the reconciler compares the value with the limit."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    value: float | None
    """None: it could not be measured."""

    evidence: Annotated[str, msgspec.Meta(max_length=KEPT_CHARACTERS)]


class CheckToRun(msgspec.Struct, kw_only=True):
    """One check that an operator's command must run."""

    name: str
    check: str
    command: list[str]
    measures: bool
    """Whether the command prints a number."""
