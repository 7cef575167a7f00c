"""Classifies a silent agent, and decides the response.

A silent bot is not necessarily dead: its host may be slow, its port flooded or used by another
process, or our connection broken. Only a bot without any sign of work is halted, and only a process
that is proven to be the silent one is stopped.
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
    UNKNOWN = "unknown"


class SilenceVerdict(StrEnum):
    """Classification of a silence, which determines the response."""

    GONE = "gone"
    """No process that could trade: a requested halt is withdrawn."""

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
    """Stop the process: it is alive but silent."""

    SPENT = "spent"
    """It should be stopped, but was stopped too often already."""


SPARED = frozenset(
    {
        SilenceVerdict.IMPOSTOR,
        SilenceVerdict.WORKING,
        SilenceVerdict.OVERLOADED,
        SilenceVerdict.SPENT,
    }
)
"""Verdicts in which a process that is silent long enough to be stopped is spared."""


@dataclass(frozen=True, kw_only=True)
class AgentSilence:
    """Evidence on a silent agent; times in seconds."""

    silent_for: float
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
class SilenceLimits:
    """Thresholds in seconds, and the budget of stops."""

    silence: float = 3.0
    """A heartbeat younger than this means that the bot works."""

    stop: float = 6.0
    """Seconds of silence after which a live process is stopped."""

    start: float = 120.0
    """Grace period of a new process until its first answer."""

    stops: int = 3
    """Maximum stops per hour and bot."""


def classify(silence: AgentSilence, bounds: SilenceLimits) -> SilenceVerdict:
    """Classify a silence of at least `bounds.silence`."""
    if silence.life is ProcessMatch.GONE:
        return SilenceVerdict.GONE
    if silence.listener is PortOwner.FOREIGN:
        return SilenceVerdict.IMPOSTOR
    # Ignore a heartbeat from the future: that clock is wrong.
    if silence.heartbeat_age is not None and -1.0 < silence.heartbeat_age < bounds.silence:
        return SilenceVerdict.WORKING
    if silence.cut:
        return SilenceVerdict.OVERLOADED
    if silence.life is ProcessMatch.OTHER and silence.starting_for < bounds.start:
        return SilenceVerdict.STARTING
    if (
        silence.life is not ProcessMatch.OTHER
        and (verdict := _halting(silence, bounds)) is not None
    ):
        return verdict
    return SilenceVerdict.STOP if silence.stops < bounds.stops else SilenceVerdict.SPENT


def _halting(silence: AgentSilence, bounds: SilenceLimits) -> SilenceVerdict | None:
    """Return the verdict before a stop, or None if halting had no effect."""
    if silence.halt_in_force:
        return SilenceVerdict.HALTED
    if not silence.halt_requested:
        return SilenceVerdict.HALT
    too_early = silence.silent_for < bounds.stop or silence.life is not ProcessMatch.SAME
    return SilenceVerdict.WAIT if too_early else None
