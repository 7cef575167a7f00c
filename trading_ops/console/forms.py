"""All forms of the console; each one is sent to one route of the API."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trading_ops.api.catalogue import ActionOutcomeView
from trading_ops.api.incidents import AcknowledgementView
from trading_ops.api.targets import PlacedPage, PlacedView, ReleasedView

LENGTHS = {
    "15 minutes": 900,
    "30 minutes": 1800,
    "1 hour": 3600,
    "2 hours": 7200,
    "4 hours": 14400,
    "8 hours": 28800,
    "24 hours": 86400,
}
NAMED = 10
"""Maximum number of bots that a message names."""

HALT_ALL = "halt all"
"""Text to type to halt every bot."""


@dataclass(frozen=True)
class Field:
    """One field of a form."""

    name: str
    label: str
    kind: str = "text"
    """`text`, `length`, `target`, `holds` or `params`."""

    required: bool = True
    hint: str = ""


REASON = Field("reason", "Reason", hint="Stored in the audit log.")
LENGTH = Field("seconds", "For how long", "length")


@dataclass(frozen=True, kw_only=True)
class Form:
    """A form."""

    call: str
    """The route of the API."""

    title: str
    """`{subject}` is replaced by the target or ID."""

    button: str
    effect: str
    """The effect, in a sentence or two."""

    fields: tuple[Field, ...] = ()
    path: str = ""
    """The variable part of the route; empty: none."""

    typed: bool = False
    """The subject must be typed to confirm it."""

    danger: bool = False
    in_query: bool = False
    """The values are sent in the query, not in a body."""

    without_owner: bool = False
    """The route does not accept the operator's name; the token's name is stored."""

    fixed: Mapping[str, str] | None = None
    keyed: bool = False
    """The form has an ID, so that sending it twice is one request."""


FORMS: Mapping[str, Form] = {
    "halt-all": Form(
        call="POST /api/v1/halt",
        title="Halt all bots",
        button="Halt all bots",
        effect="Every bot stops submitting and changing orders at once. Cancels still pass. Open "
        "positions stay open. Only an admin can resume.",
        fields=(REASON,),
        typed=True,
        danger=True,
    ),
    "halt": Form(
        call="POST /api/v1/targets/{name}/halt",
        title="Halt {subject}",
        button="Halt",
        effect="The bot stops submitting and changing orders at once. Cancels still pass. Open "
        "positions stay open. Only an admin can resume.",
        fields=(REASON,),
        path="name",
        typed=True,
        danger=True,
        keyed=True,
    ),
    "reduce": Form(
        call="POST /api/v1/targets/{name}/reduce",
        title="Set {subject} to reduce-only",
        button="Set to reduce-only",
        effect="The bot may only reduce its exposure. Only an admin can resume.",
        fields=(REASON,),
        path="name",
        keyed=True,
    ),
    "resume": Form(
        call="POST /api/v1/targets/{name}/resume",
        title="Resume {subject}",
        button="Release the holds",
        effect="The chosen holds are released. The bot trades again when none is left.",
        fields=(Field("holds", "Holds", "holds"), REASON),
        path="name",
        typed=True,
        danger=True,
    ),
    "reset_budget": Form(
        call="POST /api/v1/targets/{name}/reset-budget",
        title="Reset the attempt budgets of {subject}",
        button="Reset the budgets",
        effect="Resets the cooldowns and attempt limits of this target.",
        fields=(REASON,),
        path="name",
    ),
    "run": Form(
        call="POST /api/v1/actions/{name}",
        title="Run {subject}",
        button="Run",
        effect="The action goes through the same gates as a step of a runbook.",
        fields=(Field("target", "Bot", "target"), Field("params", "", "params"), REASON),
        path="name",
    ),
    "acknowledge": Form(
        call="POST /api/v1/incidents/{id}/acknowledge",
        title="Acknowledge incident {subject}",
        button="Acknowledge",
        effect="The incident is yours: pages and automatic steps for it stop until it closes or "
        "you remove the acknowledgement.",
        fields=(Field("note", "Note", required=False),),
        path="id",
        fixed={"kind": "acknowledge"},
    ),
    "snooze": Form(
        call="POST /api/v1/incidents/{id}/acknowledge",
        title="Snooze incident {subject}",
        button="Snooze",
        effect="Pages and automatic steps for this incident stop, and start again afterwards.",
        fields=(LENGTH, Field("note", "Note", required=False)),
        path="id",
        fixed={"kind": "snooze"},
    ),
    "unacknowledge": Form(
        call="DELETE /api/v1/incidents/{id}/acknowledge",
        title="Remove the acknowledgement of incident {subject}",
        button="Remove",
        effect="Pages and automatic steps for this incident continue.",
        path="id",
        in_query=True,
    ),
    "resolve": Form(
        call="POST /api/v1/incidents/{id}/resolve",
        title="Resolve incident {subject}",
        button="Resolve",
        effect="The incident is closed. This is refused while its alert is pending or firing. A "
        "new incident opens if the alert fires again.",
        fields=(REASON,),
        path="id",
    ),
    "approve": Form(
        call="POST /api/v1/approvals/{id}/approve",
        title="Approve request {subject}",
        button="Approve",
        effect="The action may be started once, within ten minutes, exactly as shown.",
        path="id",
    ),
    "deny": Form(
        call="POST /api/v1/approvals/{id}/deny",
        title="Deny request {subject}",
        button="Deny",
        effect="The action is not started.",
        path="id",
        danger=True,
    ),
    "retry-message": Form(
        call="POST /api/v1/messages/{id}/retry",
        title="Deliver message {subject} again",
        button="Deliver again",
        effect="The message and the others in the same mail are delivered now.",
        path="id",
    ),
    "discard-message": Form(
        call="POST /api/v1/messages/{id}/discard",
        title="Discard message {subject}",
        button="Discard",
        effect="The message and the others in the same mail are not delivered.",
        path="id",
        danger=True,
    ),
    "test-message": Form(
        call="POST /api/v1/messages",
        title="Send a test message",
        button="Send",
        effect="Sends a test message to one channel, or to the channels of its routes.",
        fields=(Field("channel", "Channel", required=False),),
    ),
    "backup": Form(
        call="POST /api/v1/backups",
        title="Take a backup",
        button="Take a backup",
        effect="A backup is taken now. The page shows it when it is done.",
        without_owner=True,
    ),
    "run-job": Form(
        call="POST /api/v1/jobs/{name}/run",
        title="Run {subject}",
        button="Run",
        effect="The job runs now, even if it is not due. Its page shows the plan.",
        path="name",
    ),
    "pause-job": Form(
        call="POST /api/v1/jobs/{name}/pause",
        title="Pause {subject}",
        button="Pause",
        effect="The job is not run by its schedule until someone resumes it.",
        fields=(REASON,),
        path="name",
    ),
    "resume-job": Form(
        call="DELETE /api/v1/jobs/{name}/pause",
        title="Resume {subject}",
        button="Resume",
        effect="The job runs by its schedule again.",
        path="name",
        in_query=True,
    ),
    "send-report": Form(
        call="POST /api/v1/reports/{period}",
        title="Send the {subject} report",
        button="Send",
        effect="It goes to the channels whose routes accept reports, once per channel and period.",
        path="period",
    ),
    "approve-readiness": Form(
        call="POST /api/v1/readiness/{bot}/approve",
        title="Approve the next stage of {subject}",
        button="Approve",
        effect="The bot enters the next stage, or the current one again after a step back.",
        fields=(REASON,),
        path="bot",
        typed=True,
    ),
    "sign-off-readiness": Form(
        call="POST /api/v1/readiness/{bot}/sign-off",
        title="Sign off {subject}",
        button="Sign off",
        effect="Records that you have reviewed the bot, as the watch schedule requires.",
        fields=(REASON,),
        path="bot",
    ),
    "abort-readiness": Form(
        call="POST /api/v1/readiness/{bot}/abort",
        title="Abort the run of {subject}",
        button="Abort",
        effect="The run ends. Holds on the bot stay.",
        fields=(REASON,),
        path="bot",
        typed=True,
        danger=True,
    ),
    "maintenance": Form(
        call="POST /api/v1/maintenance",
        title="Begin a maintenance window",
        button="Begin",
        effect="Automation does not act on the target until the window ends. Alerts still reach "
        "on-call.",
        fields=(
            Field("target", "Target", "target", required=False, hint="Empty: the whole fleet."),
            LENGTH,
            REASON,
        ),
    ),
    "end-maintenance": Form(
        call="DELETE /api/v1/maintenance/{id}",
        title="End maintenance window {subject}",
        button="End the window",
        effect="Automation acts on the target again.",
        path="id",
        in_query=True,
    ),
    "pause": Form(
        call="POST /api/v1/pause",
        title="Pause automation",
        button="Pause",
        effect="No automatic step is started on any target. Alerts still reach on-call.",
        fields=(LENGTH, REASON),
    ),
    "unpause": Form(
        call="DELETE /api/v1/pause",
        title="Resume automation",
        button="Resume automation",
        effect="Ends every pause of automation.",
        in_query=True,
    ),
}


def values_of(form: Form, posted: Mapping[str, list[str]], owner: str | None) -> dict[str, Any]:
    """Return the values of a form for the route: only known fields, nothing empty."""
    values: dict[str, Any] = dict(form.fixed or {})
    for field in form.fields:
        given = [value.strip() for value in posted.get(field.name, []) if value.strip()]
        if field.kind == "holds":
            if given:
                values[field.name] = given
        elif field.kind == "params":
            values[field.name] = {
                name.removeprefix("param."): values[0].strip()
                for name, values in posted.items()
                if name.startswith("param.") and values
            }
        elif given:
            values[field.name] = given[0]
    if form.keyed and (key := posted.get("key")):
        values["key"] = key[0]
    if owner and not form.without_owner:
        values["owner"] = owner
    return values


def new_key() -> str:
    """Return an ID that detects a form that was sent twice."""
    return str(uuid.uuid4())


def outcome_of(answer: Any) -> tuple[str, bool]:
    """Return the result of a form as a sentence, and whether it failed."""
    match answer:
        case PlacedPage():
            return _of_holds(answer)
        case PlacedView(acknowledged=True):
            return f"{answer.target} has acknowledged that it is {answer.state}.", False
        case PlacedView():
            result = "has not acknowledged the hold yet; it is sent again every second."
            return f"{answer.target} {result} {answer.detail}", True
        case ReleasedView():
            left = f" {len(answer.remaining)} holds remain." if answer.remaining else ""
            return f"{answer.target}: {answer.detail}.{left}", False
        case ActionOutcomeView():
            return _of_action(answer)
        case AcknowledgementView(trouble=str() as trouble):
            return f"It is stored, but not in Alertmanager yet: {trouble}", True
        case _:
            return "Done.", False


def _of_holds(answer: PlacedPage) -> tuple[str, bool]:
    missing = [hold.target for hold in answer.holds if not hold.acknowledged]
    if not missing:
        return f"All {len(answer.holds)} bots have acknowledged the halt.", False
    more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
    result = (
        f"Only {len(answer.holds) - len(missing)} of {len(answer.holds)} bots have acknowledged "
        f"the halt. Not yet: {', '.join(missing[:NAMED])}{more}. It is sent again every second."
    )
    return result, True


def _of_action(answer: ActionOutcomeView) -> tuple[str, bool]:
    if answer.attempt is not None:
        return f"{answer.attempt.action} was started on {answer.attempt.target}.", False
    refusal, approval = answer.refusal, answer.approval
    result = "Refused" if refusal is None else f"Refused ({refusal.reason}): {refusal.note}"
    if approval is not None:
        return f"{result}. Request {approval.id[:8]} waits for another operator.", True
    return f"{result}. {refusal.opens if refusal else ''}", True
