"""Why operators or settings suppress automation: each rule exists once, for all callers."""

from dataclasses import dataclass
from datetime import datetime

from trading_ops.domain.decision import Pause, Reason
from trading_ops.domain.maintenance import Maintenance


@dataclass(frozen=True, kw_only=True)
class Suppressed:
    """No action may run."""

    reason: Reason
    note: str
    """Who suppresses it and why; continues the reason in a sentence."""

    until: datetime | None = None
    """None: until someone changes it."""

    def __str__(self) -> str:
        return f"{self.reason.value.replace('_', '-')} {self.note}"


def by_pause(pause: Pause | None, now: datetime) -> Suppressed | None:
    """Automation is paused."""
    if pause is None or now >= pause.expires_at:
        return None
    note = f"by {pause.owner}: {pause.reason}"
    return Suppressed(reason=Reason.PAUSED, note=note, until=pause.expires_at)


def by_observe_only(
    *, everywhere: bool, runbook: str | None = None, target: str | None = None
) -> Suppressed | None:
    """Automation only observes: everywhere, for a runbook, or for a target.

    Args:
        everywhere: the setting.
        runbook: alert of the runbook, if it is observe-only.
        target: its name, if it is observe-only.
    """
    if everywhere:
        note = "everywhere, by settings"
    elif runbook is not None:
        note = f"runbook {runbook}"
    elif target is not None:
        note = f"target {target}"
    else:
        return None
    return Suppressed(reason=Reason.OBSERVE_ONLY, note=note)


def by_maintenance(window: Maintenance | None) -> Suppressed | None:
    """The target or the fleet is in maintenance; takes the window that covers it."""
    if window is None:
        return None
    note = f"of {window.target or 'the whole fleet'} by {window.owner}: {window.reason}"
    return Suppressed(reason=Reason.MAINTENANCE, note=note, until=window.ends_at)
