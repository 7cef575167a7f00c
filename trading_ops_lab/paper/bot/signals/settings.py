"""The settings `signals` of the bot's configuration."""

from enum import StrEnum
from typing import Annotated

import msgspec

Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class Deciding(StrEnum):
    """What decides what to hold."""

    STRATEGY = "strategy"
    """The moving averages alone; nothing to fall back from."""

    MODEL = "model"
    """A model in a process of its own; see `stand_in` for while it is sick."""


class SignalSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """See docs/signals.md."""

    source: Deciding = Deciding.STRATEGY

    budget_seconds: Seconds = 0.05
    """Longest time that a pass waits for the model; then it goes by the latest usable signal."""

    timeout_seconds: Seconds = 1.0
    """After which a question counts as not answered. A later pass may use a late answer."""

    maximum_age_seconds: Seconds = 5.0
    """From which a signal is not usable any more, whatever its horizon."""

    failures: Count = 3
    """Bad rounds in a row after which the model's process is started anew."""

    recover_after: Count = 5
    """Good rounds in a row after which the model decides again."""

    longest_backoff_seconds: Seconds = 60.0
    """Between two starts of the model's process; the first pause is 1 s, each next one doubled."""

    most_starts: Count | None = None
    """New starts in a row that did not help, after which the model is given up until the signals
    are restarted; None: it never is."""

    stand_in: bool = True
    """Whether the moving averages stand in for a sick model; without, the bot keeps what it holds.
    """

    seed: int = 7
    """Of the model."""
