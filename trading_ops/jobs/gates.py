"""Gates of jobs, the same as for automatic actions; no I/O."""

from collections.abc import Sequence
from datetime import datetime

from trading_ops.domain.decision import Pause
from trading_ops.domain.maintenance import Maintenance, covering


def closed_gate(
    now: datetime,
    *,
    observe_only: bool,
    pause: Pause | None,
    windows: Sequence[Maintenance],
    in_maintenance: bool,
) -> str | None:
    """Return the closed gate as a sentence; None: the job may run.

    Args:
        now: the time.
        observe_only: the setting.
        pause: of automation, if active.
        windows: active maintenance windows; only those of the whole fleet block jobs.
        in_maintenance: whether the job runs in them.
    """
    if observe_only:
        return "observe-only: automation takes no action"
    if pause is not None and now < pause.expires_at:
        return f"automation is paused by {pause.owner}: {pause.reason}"
    window = covering(windows, None, now)
    if window is not None and not in_maintenance:
        return f"maintenance of the fleet by {window.owner}: {window.reason}"
    return None
