"""Probe state of one bot's agent: how long it has been silent, and what was done."""

import math
from dataclasses import dataclass, field
from datetime import datetime

from trading_ops import clock
from trading_ops.clients.agent import BotHealth
from trading_ops.domain.silence import Bounds
from trading_ops.domain.target import Kind, Target
from trading_ops.reconciler.holds import Report

MISSES = 3


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Timeouts and limits, in seconds."""

    silence: float = 3.0
    """Silence until the bot is halted; 0: never, only measured."""

    stop: float = 6.0
    """Silence until a live process is stopped."""

    poll: float = 1.0
    """Probe interval; 50 % of it after a missed answer."""

    answer: float = 1.0
    """Timeout of one probe."""

    answer_of_freqtrade: float = 2.0
    """Timeout of a Freqtrade's three requests; its API shares a process with its strategy."""

    late: float = 0.5
    """Delay of our own loop above which a missed answer does not count."""

    unknown: float = 30.0
    """Time without a first answer since our start until it is exported; no action is taken."""

    grace: float = 1.5
    """Time between SIGTERM and SIGKILL."""

    start: float = Bounds.start
    """Grace period of a new process until its first answer."""

    stops: int = Bounds.stops
    """Maximum stops of one bot per hour."""

    @property
    def bounds(self) -> Bounds:
        """Return the thresholds for `domain.silence`."""
        return Bounds(silence=self.silence, stop=self.stop, start=self.start, stops=self.stops)


@dataclass(kw_only=True)
class Pulse:
    """Probe state of one bot's agent."""

    target: Target
    quiet_from: float
    """Monotonic time of the last answer, or of the end of our own delay."""

    incarnation: str | None = None
    """Incarnation that last answered; None: none since our start."""

    answered: datetime | None = None
    report: Report | None = None
    misses: int = 0
    cut: bool = False
    """Whether the last failed probe was closed without an answer."""

    unheard: tuple[str, float] | None = None
    """Another incarnation than the one that answered, and when it was first seen, monotonic."""

    stops: list[float] = field(default_factory=list)
    """Monotonic times at which its process was stopped."""

    epoch: int = 0
    """Incremented with each answer, to ignore results of earlier probes."""

    judged_at: float = -math.inf
    """Monotonic time of the last evaluation of an answer or timeout."""

    asked: str | None = None
    """Hold for the current silence that is not known to be in force."""

    asked_of: str | None = None
    """The incarnation that it is for."""

    told: set[str] = field(default_factory=set)
    """Events already recorded for this silence."""

    def answer_within(self, patience: Patience) -> float:
        """Return the probe timeout in seconds."""
        own = self.target.kind is Kind.BOT
        return patience.answer if own else patience.answer_of_freqtrade

    def hears(self, health: BotHealth, asked_at: float, now: float) -> None:
        """Record an answer."""
        self.incarnation = health.incarnation
        self.report = Report(asked_at=asked_at, health=health)
        self.answered = clock.now()
        self._begin_anew(now)
        self.told.clear()

    def excuse(self, now: float) -> None:
        """Restart the silence timer: the delay was ours."""
        self._begin_anew(now)

    def unheard_for(self, incarnation: str | None, now: float) -> float:
        """Return how long a process that never answered has been running."""
        if incarnation is None:
            self.unheard = None
            return 0.0
        if self.unheard is None or self.unheard[0] != incarnation:
            self.unheard = incarnation, now
        return now - self.unheard[1]

    def stops_since(self, moment: float) -> int:
        """Return the number of stops since then; forget older ones."""
        self.stops = [one for one in self.stops if one > moment]
        return len(self.stops)

    def _begin_anew(self, now: float) -> None:
        self.quiet_from = now
        self.misses = 0
        self.epoch += 1
