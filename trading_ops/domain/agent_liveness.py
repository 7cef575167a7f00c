"""Classifies an unresponsive agent, and decides the response.

An unresponsive bot is not necessarily dead: its host may be slow, its port flooded or used by
another process, or our connection broken. Only a bot without any sign of work is halted, and only a
process that is proven to be the unresponsive one is stopped.
"""

from dataclasses import dataclass
from enum import StrEnum


class ProcessMatch(StrEnum):
    """State of the process that last answered, according to the service manager."""

    SAME = "same"
    GONE = "gone"
    OTHER = "other"
    UNKNOWN = "unknown"


class PortOwner(StrEnum):
    """Owner of the agent's port, according to the kernel."""

    OWN = "own"
    FOREIGN = "foreign"
    NONE = "none"
    """It refuses connections, and the kernel of our host has no listener on it."""

    REFUSED = "refused"
    """Another host refuses connections: its process is gone, or a firewall rejects us."""

    UNKNOWN = "unknown"


class LivenessVerdict(StrEnum):
    """Why an agent does not answer, which determines the response."""

    GONE = "gone"
    """No process that could trade: a requested halt is withdrawn."""

    CLOSED = "closed"
    """Another host refuses connections, and no service manager shows a process.

    Most likely it died. It is not halted: a halt could not be delivered, and if a firewall is the
    cause, the bot works. A halt that was requested before stays, for the case that it returns.
    """

    STARTING = "starting"
    """A new process runs and has not answered yet. A requested halt is withdrawn."""

    IMPOSTOR = "impostor"
    """Another user's process uses the port: no action, on-call is notified."""

    WORKING = "working"
    """Prometheus has a new heartbeat: the bot trades, only its agent does not answer."""

    OVERLOADED = "overloaded"
    """Connections are accepted and closed: the agent is overloaded."""

    HALTED = "halted"
    """The halt is in force: no further action."""

    HALT = "halt"
    """Halt the bot."""

    WAIT = "wait"
    """A halt was requested; too early to stop the process, or the process is unknown."""

    STOP = "stop"
    """Stop the process: it is alive but unresponsive."""

    SPENT = "spent"
    """It should be stopped, but was stopped too often already."""


NOT_STOPPED = frozenset(
    {
        LivenessVerdict.IMPOSTOR,
        LivenessVerdict.WORKING,
        LivenessVerdict.OVERLOADED,
        LivenessVerdict.CLOSED,
        LivenessVerdict.SPENT,
    }
)
"""Verdicts in which an unresponsive process is not stopped, however long it lasts."""

_CLOSED = {PortOwner.NONE: LivenessVerdict.GONE, PortOwner.REFUSED: LivenessVerdict.CLOSED}
"""What a closed port means where no service manager shows the process.

A process that is frozen or slow keeps its port open, for the kernel accepts in its place.
"""


@dataclass(frozen=True, kw_only=True)
class AgentEvidence:
    """Evidence on an unresponsive agent; times in seconds."""

    unanswered_for: float
    """Time since its last answer, or since the end of our own delay."""

    life: ProcessMatch
    listener: PortOwner = PortOwner.UNKNOWN
    cut: bool = False
    """The last probe was closed after the connection was accepted."""

    heartbeat_age: float | None = None
    """Age of the bot's last heartbeat in Prometheus; None: unknown."""

    starting_for: float = 0.0
    """How long a process other than the one that answered has run without an answer."""

    halt_requested: bool = False
    halt_in_force: bool = False
    stops: int = 0
    """Our stops of this bot in the last hour."""


@dataclass(frozen=True, kw_only=True)
class LivenessLimits:
    """Thresholds in seconds, and the budget of stops."""

    halt: float = 3.0
    """A heartbeat younger than this means that the bot works."""

    stop: float = 6.0
    """Seconds without an answer after which a live process is stopped."""

    start: float = 120.0
    """Grace period of a new process until its first answer."""

    stops: int = 3
    """Maximum stops per hour and bot."""


def classify(evidence: AgentEvidence, bounds: LivenessLimits) -> LivenessVerdict:
    """Classify an agent that has not answered for at least `bounds.halt`."""
    if evidence.life is ProcessMatch.GONE:
        return LivenessVerdict.GONE
    if evidence.listener is PortOwner.FOREIGN:
        return LivenessVerdict.IMPOSTOR
    # Ignore a heartbeat from the future: that clock is wrong.
    if evidence.heartbeat_age is not None and -1.0 < evidence.heartbeat_age < bounds.halt:
        return LivenessVerdict.WORKING
    if evidence.cut:
        return LivenessVerdict.OVERLOADED
    if evidence.life is ProcessMatch.UNKNOWN and evidence.listener in _CLOSED:
        return _CLOSED[evidence.listener]
    if evidence.life is ProcessMatch.OTHER and evidence.starting_for < bounds.start:
        return LivenessVerdict.STARTING
    if (
        evidence.life is not ProcessMatch.OTHER
        and (verdict := _halting(evidence, bounds)) is not None
    ):
        return verdict
    return LivenessVerdict.STOP if evidence.stops < bounds.stops else LivenessVerdict.SPENT


def _halting(evidence: AgentEvidence, bounds: LivenessLimits) -> LivenessVerdict | None:
    """Return the verdict before a stop, or None if halting had no effect."""
    if evidence.halt_in_force:
        return LivenessVerdict.HALTED
    if not evidence.halt_requested:
        return LivenessVerdict.HALT
    too_early = evidence.unanswered_for < bounds.stop or evidence.life is not ProcessMatch.SAME
    return LivenessVerdict.WAIT if too_early else None
