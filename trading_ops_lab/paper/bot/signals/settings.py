"""The settings `signals` of the bot's configuration."""

from enum import StrEnum
from typing import Annotated

import msgspec

Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class Deciding(StrEnum):
    """The source of signals."""

    STRATEGY = "strategy"
    """The moving averages only."""

    MODEL = "model"
    """A model in a separate process; with `fallback` the strategy replaces it while it fails."""


class SignalSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """See docs/signals.md."""

    source: Deciding = Deciding.STRATEGY

    budget_seconds: Seconds = 0.05
    """How long a pass waits for the model before it uses the latest usable signal."""

    timeout_seconds: Seconds = 1.0
    """Time after which a question counts as unanswered. A later pass may use a late answer."""

    maximum_age_seconds: Seconds = 5.0
    """Age from which a signal is not usable, whatever its horizon."""

    failures: Count = 3
    """Failed rounds in a row after which the model's process is restarted."""

    recover_after: Count = 5
    """Good rounds in a row after which the model decides again."""

    max_backoff_seconds: Seconds = 60.0
    """Maximum pause between two restarts of the model; the first is 1 s, then it doubles."""

    max_restarts: Count | None = None
    """Restarts in a row without effect after which the bot gives up on the model until the signals
    component is restarted; None: never."""

    fallback: bool = True
    """Whether the moving averages decide while the model fails; otherwise the bot keeps its
    positions."""

    seed: int = 7
    """Seed of the model's noise."""
