"""One bot's agent as it is heard: how long it has been silent, and what was said of that."""

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
    """How long each thing may take, in seconds."""

    silence: float = 3.0
    """Without any answer, until a halt is asked for; 0: never, it is only measured."""

    stop: float = 6.0
    """Without any answer, until a process that lives is stopped."""

    poll: float = 1.0
    """Between two questions; half of it once one was missed."""

    answer: float = 1.0
    """For one answer."""

    answer_of_freqtrade: float = 2.0
    """For the three answers of a Freqtrade, whose API shares a process with its strategy."""

    late: float = 0.5
    """By which our own loop may be late before a missed answer is our fault."""

    unknown: float = 30.0
    """Without a first answer since our start, until that is shown; nothing is done about it."""

    grace: float = 1.5
    """For SIGTERM, before SIGKILL."""

    start: float = Bounds.start
    """For a new process, until its first answer."""

    stops: int = Bounds.stops
    """Of one bot in an hour."""

    @property
    def bounds(self) -> Bounds:
        """What a silence is judged by."""
        return Bounds(silence=self.silence, stop=self.stop, start=self.start, stops=self.stops)


@dataclass(kw_only=True)
class Pulse:
    """What is known of one bot's agent."""

    target: Target
    quiet_from: float
    """Monotonic: the last answer, or the end of what was our own fault."""

    incarnation: str | None = None
    """The life that last answered; None: none did since our start."""

    answered: datetime | None = None
    report: Report | None = None
    misses: int = 0
    cut: bool = False
    """The last question that was not answered was cut off."""

    unheard: tuple[str, float] | None = None
    """Another life than the one that answered, and since when it is known, monotonic."""

    stops: list[float] = field(default_factory=list)
    """When its process was stopped, monotonic."""

    epoch: int = 0
    """Grows with each answer: what was asked before it says nothing any more."""

    judged_at: float = -math.inf
    """Monotonic: when an answer, or its absence, was last judged."""

    asked: str | None = None
    """The hold that was asked for because of silence, and is not known to be in force."""

    asked_of: str | None = None
    """The incarnation that it was asked of."""

    told: set[str] = field(default_factory=set)
    """What was already said of this silence."""

    def answer_within(self, patience: Patience) -> float:
        """Return for how many seconds an answer is awaited."""
        own = self.target.kind is Kind.BOT
        return patience.answer if own else patience.answer_of_freqtrade

    def hears(self, health: BotHealth, asked_at: float, now: float) -> None:
        """Take an answer."""
        self.incarnation = health.incarnation
        self.report = Report(asked_at=asked_at, health=health)
        self.answered = clock.now()
        self._begin_anew(now)
        self.told.clear()

    def excuse(self, now: float) -> None:
        """Begin to count anew: it was us who were late."""
        self._begin_anew(now)

    def unheard_for(self, incarnation: str | None, now: float) -> float:
        """Return for how long a process that never answered has been seen running."""
        if incarnation is None:
            self.unheard = None
            return 0.0
        if self.unheard is None or self.unheard[0] != incarnation:
            self.unheard = incarnation, now
        return now - self.unheard[1]

    def stops_since(self, moment: float) -> int:
        """Return how often it was stopped since then, and forget what is older."""
        self.stops = [one for one in self.stops if one > moment]
        return len(self.stops)

    def _begin_anew(self, now: float) -> None:
        self.quiet_from = now
        self.misses = 0
        self.epoch += 1
