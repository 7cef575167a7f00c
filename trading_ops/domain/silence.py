"""What the silence of a bot's agent means, and what follows from it.

No answer is not yet a dead bot: its machine may be slow, its port flooded, another process may hold
the port, or our own way to it may be broken. Only a bot that nothing shows to be at work is halted,
and only a process that is proven to be the silent one is stopped.
"""

from dataclasses import dataclass
from enum import StrEnum


class Life(StrEnum):
    """What the service manager says of the process that last answered."""

    SAME = "same"
    GONE = "gone"
    OTHER = "other"
    UNKNOWN = "unknown"


class Listener(StrEnum):
    """Who holds the port that the agent should have, as the kernel says."""

    OWN = "own"
    FOREIGN = "foreign"
    UNKNOWN = "unknown"


class Verdict(StrEnum):
    """What a silence is, and so what is done."""

    GONE = "gone"
    """No process that could trade: a halt that was asked for is withdrawn."""

    STARTING = "starting"
    """Another process runs, which has not answered yet. A halt is withdrawn as well."""

    IMPOSTOR = "impostor"
    """Another user's process holds the port: nothing is done, on-call is notified."""

    WORKING = "working"
    """Prometheus sees a new heartbeat: the bot trades, only its agent does not answer us."""

    OVERLOADED = "overloaded"
    """Connections are accepted and requests cut: its agent runs and has too much to do."""

    HALTED = "halted"
    """The halt is in force: nothing more is needed."""

    HALT = "halt"
    """Ask for a halt."""

    WAIT = "wait"
    """A halt was asked for, and it is too early to stop the process, or unknown which it is."""

    STOP = "stop"
    """Stop the process: it is alive and mute."""

    SPENT = "spent"
    """It would be stopped, and was stopped too often already."""


SPARED = frozenset({Verdict.IMPOSTOR, Verdict.WORKING, Verdict.OVERLOADED, Verdict.SPENT})
"""Something that is silent for so long that it would be stopped, and is left alone."""


@dataclass(frozen=True, kw_only=True)
class Silence:
    """What is known of a bot's agent that does not answer; times in seconds."""

    quiet: float
    """Since its last answer, or since the end of a delay of our own."""

    life: Life
    listener: Listener = Listener.UNKNOWN
    cut: bool = False
    """The last question was cut off after the connection had been accepted."""

    heartbeat_age: float | None = None
    """Since the bot's last whole pass, by Prometheus; None: not known."""

    unheard: float = 0.0
    """For how long another process than the one that answered has been running without a word."""

    halt_asked: bool = False
    halt_in_force: bool = False
    stops: int = 0
    """Of this bot, by us, in the last hour."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How much is waited for, and how often a process is stopped."""

    silence: float = 3.0
    """A heartbeat that is younger shows that the bot works."""

    stop: float = 6.0
    """Silence after which a living process is stopped."""

    start: float = 120.0
    """Within which a new process must have answered once."""

    stops: int = 3
    """In an hour, of one bot."""


def judge(silence: Silence, bounds: Bounds) -> Verdict:
    """Return what a silence of `bounds.silence` or more means."""
    if silence.life is Life.GONE:
        return Verdict.GONE
    if silence.listener is Listener.FOREIGN:
        return Verdict.IMPOSTOR
    # A heartbeat from the future is no proof: that clock is wrong.
    if silence.heartbeat_age is not None and -1.0 < silence.heartbeat_age < bounds.silence:
        return Verdict.WORKING
    if silence.cut:
        return Verdict.OVERLOADED
    if silence.life is Life.OTHER and silence.unheard < bounds.start:
        return Verdict.STARTING
    if silence.life is not Life.OTHER and (verdict := _halting(silence, bounds)) is not None:
        return verdict
    return Verdict.STOP if silence.stops < bounds.stops else Verdict.SPENT


def _halting(silence: Silence, bounds: Bounds) -> Verdict | None:
    """Return what comes before a stop, or None when all of it was without effect."""
    if silence.halt_in_force:
        return Verdict.HALTED
    if not silence.halt_asked:
        return Verdict.HALT
    too_early = silence.quiet < bounds.stop or silence.life is not Life.SAME
    return Verdict.WAIT if too_early else None
