"""Failpoints: the places where a crash is worst; the crash tests kill the process at each of them.

In production `reached` does nothing: only tests set a watcher, and no setting can.
"""

from collections.abc import Callable
from enum import StrEnum


class Failpoint(StrEnum):
    """Where a process may die; in the order in which an alert passes them."""

    INTAKE_READ = "intake_read"
    """The body is read, nothing is stored."""

    COMMIT_BEFORE = "commit_before"
    """A batch was written, and is not committed."""

    COMMIT_AFTER = "commit_after"
    """A batch is committed, and its callers have no answer yet."""

    INTAKE_STORED = "intake_stored"
    """The notification is stored, and not yet acknowledged."""

    PROCESS_BEFORE = "process_before"
    """A stored notification was parsed, and no incident is open."""

    PROCESS_AFTER = "process_after"
    """Its incidents are open."""

    POLL_ADOPT = "poll_adopt"
    """A poll found an alert without a webhook."""

    START_BEFORE = "start_before"
    """A step was decided, and is not `started`."""

    STARTED = "started"
    """`started` is committed, and nothing was sent."""

    EFFECT_BEFORE = "effect_before"
    """The next instruction sends the command."""

    EFFECT_AFTER = "effect_after"
    """The command was answered, and the answer is not stored."""

    OUTCOME_BEFORE = "outcome_before"
    """The outcome is about to be stored."""

    OUTCOME_AFTER = "outcome_after"
    """The outcome is stored."""

    VERIFIED_BEFORE = "verified_before"
    """The verify query held, and that is not stored."""

    VERIFIED_AFTER = "verified_after"
    """The verification is stored."""

    ADOPTED = "adopted"
    """An orphaned attempt is `unknown`, and was not probed."""

    FENCE_RAISED = "fence_raised"
    """The fence of a probe is raised in the store, and not at the executor."""

    PROBED = "probed"
    """The target has answered, and the answer is not stored."""

    ESCALATE_BEFORE = "escalate_before"
    """It was decided to give up, and that is not stored."""

    ESCALATE_AFTER = "escalate_after"
    """The incident is escalated."""

    CLOSE_BEFORE = "close_before"
    """It was decided to close, and that is not stored."""

    CLOSE_AFTER = "close_after"
    """The incident is closed."""


_watchers: list[Callable[[Failpoint], None]] = []


def reached(place: Failpoint) -> None:
    """Call the watchers of tests."""
    for watcher in _watchers:
        watcher(place)


def watch(watcher: Callable[[Failpoint], None]) -> None:
    """Have a function called at each failpoint; for crash tests."""
    _watchers.append(watcher)
