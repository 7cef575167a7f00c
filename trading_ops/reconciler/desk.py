"""Everything stored that one pass needs, read at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from trading_ops.domain.attempt import Attempt
from trading_ops.domain.decision import GlobalLimits, History, Pause
from trading_ops.domain.incident import Incident
from trading_ops.domain.runbook import LONGEST_WINDOW
from trading_ops.store import Connection, attempts, incidents, pauses


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Open incidents with what was already done for them."""

    incidents: tuple[Incident, ...]
    histories: Mapping[str, History]
    """By incident id."""

    pause: Pause | None

    @property
    def failing_targets(self) -> int:
        """How many targets have an open incident."""
        return len({incident.target for incident in self.incidents if incident.target})

    def last(self, incident: Incident) -> Attempt | None:
        """Return the incident's latest attempt."""
        done = self.histories[incident.id].incident
        return done[-1] if done else None


def read_desk(connection: Connection, *, limits: GlobalLimits, now: datetime) -> Desk:
    """Read all of it in one transaction."""
    open_ones = incidents.open_ones(connection)
    targets = {incident.target for incident in open_ones if incident.target}
    by_target = {
        target: tuple(attempts.of_target(connection, target, since=now - LONGEST_WINDOW))
        for target in targets
    }
    by_incident = attempts.of_open_incidents(connection)
    everywhere = attempts.count_since(connection, now - limits.window)
    return Desk(
        incidents=tuple(open_ones),
        histories={
            incident.id: History(
                incident=by_incident.get(incident.id, ()),
                target=by_target.get(incident.target or "", ()),
                everywhere=everywhere,
            )
            for incident in open_ones
        },
        pause=pauses.current(connection, now=now),
    )
