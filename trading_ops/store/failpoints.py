"""Failpoints: the worst places for a crash; the crash tests kill the process at each of them.

In production `reached` does nothing: only tests can set a watcher.
"""

from collections.abc import Callable
from enum import StrEnum


class Failpoint(StrEnum):
    """Where a process may die, in the order in which an alert passes them."""

    INTAKE_READ = "intake_read"
    """The body was read; nothing is stored."""

    COMMIT_BEFORE = "commit_before"
    """A batch was written but not committed."""

    COMMIT_AFTER = "commit_after"
    """A batch is committed; its callers have no answer yet."""

    INTAKE_STORED = "intake_stored"
    """The notification is stored but not yet acknowledged."""

    PROCESS_BEFORE = "process_before"
    """A stored notification was parsed; no incident is open."""

    PROCESS_AFTER = "process_after"
    """Its incidents are open."""

    POLL_ADOPT = "poll_adopt"
    """A poll found an alert without a webhook."""

    START_BEFORE = "start_before"
    """A step was decided but is not `started`."""

    STARTED = "started"
    """`started` is committed; nothing was sent."""

    EFFECT_BEFORE = "effect_before"
    """The next instruction sends the command."""

    EFFECT_AFTER = "effect_after"
    """The command was answered; the answer is not stored."""

    OUTCOME_BEFORE = "outcome_before"
    """The outcome is about to be stored."""

    OUTCOME_AFTER = "outcome_after"
    """The outcome is stored."""

    VERIFIED_BEFORE = "verified_before"
    """The verify query held; that is not stored."""

    VERIFIED_AFTER = "verified_after"
    """The verification is stored."""

    ADOPTED = "adopted"
    """An orphaned attempt is `unknown` and was not probed."""

    FENCE_RAISED = "fence_raised"
    """The fence of a probe is raised in the store but not at the executor."""

    PROBED = "probed"
    """The target has answered; the answer is not stored."""

    ESCALATE_BEFORE = "escalate_before"
    """The decision to escalate is not stored yet."""

    ESCALATE_AFTER = "escalate_after"
    """The incident is escalated."""

    CLOSE_BEFORE = "close_before"
    """The decision to close is not stored yet."""

    CLOSE_AFTER = "close_after"
    """The incident is closed."""


_watchers: list[Callable[[Failpoint], None]] = []


def reached(place: Failpoint) -> None:
    """Call the watchers that tests have set."""
    for watcher in _watchers:
        watcher(place)


def watch(watcher: Callable[[Failpoint], None]) -> None:
    """Call a function at each failpoint; for crash tests."""
    _watchers.append(watcher)
