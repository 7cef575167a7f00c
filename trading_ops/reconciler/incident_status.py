"""Status of an open incident: who acknowledged it, or why automation waits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from trading_ops.domain.acknowledgement import (
    ACKNOWLEDGED,
    NEW,
    SNOOZED,
    Acknowledgement,
    AcknowledgementKind,
)
from trading_ops.domain.decision import GlobalLimits, Pause, Reason
from trading_ops.domain.incident import Incident
from trading_ops.store import Connection, acknowledgements, pauses, search


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The status, derived from the store."""

    state: str
    """`acknowledged`, `snoozed`, `new` before the first decision, or the last decision's reason;
    `with_a_person` after escalation."""

    owner: str | None = None
    """Who acknowledged or snoozed it."""

    until: datetime | None = None
    """End of a snooze or a pause, or when a flapping alert counts as quiet."""

    note: str = ""
    """The operator's or the decision's note."""


def read_standings(
    connection: Connection, incidents: Sequence[Incident], *, now: datetime
) -> dict[str, Standing]:
    """Return the status of each open one of these incidents, by id."""
    still_open = [one for one in incidents if one.is_open]
    if not still_open:
        return {}
    words = acknowledgements.standing(connection)
    said = search.last_decisions(connection, [one.id for one in still_open])
    pause = pauses.current(connection, now=now)
    return {
        one.id: _of_word(words[one.id])
        if one.id in words
        else _of_decision(one, said.get(one.id), pause)
        for one in still_open
    }


def _of_word(word: Acknowledgement) -> Standing:
    snoozed = word.kind is AcknowledgementKind.SNOOZE
    return Standing(
        state=SNOOZED if snoozed else ACKNOWLEDGED,
        owner=word.owner,
        until=word.until if snoozed else None,  # an acknowledgement is renewed
        note=word.note,
    )


def _of_decision(
    incident: Incident, said: search.LastDecision | None, pause: Pause | None
) -> Standing:
    waits = said is not None and said.kind == "decided_wait"
    if incident.escalated_at is not None and not waits:
        return Standing(state=Reason.WITH_A_PERSON.value, note=said.note if said else "")
    if said is None:
        return Standing(state=NEW)
    until = None
    if said.reason == Reason.PAUSED and pause is not None:
        until = pause.expires_at
    elif said.reason == Reason.FLAPPING and incident.quiet_since is not None:
        until = incident.quiet_since + GlobalLimits().flap_quiet
    return Standing(state=said.reason, until=until, note=said.note)
