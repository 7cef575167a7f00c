"""Fault injection for the model: a file in the bot's state folder, for drills and tests.

The model's process reads it for each question, so a fault lasts across its restarts until the file
is removed. The bot itself never reads it.
"""

from enum import StrEnum
from pathlib import Path

FILE = "model_fault"


class ModelFault(StrEnum):
    """The faults of a model."""

    SLOW = "slow"
    """It answers after the given seconds."""

    HANG = "hang"
    """It never answers again."""

    CRASH = "crash"
    """Its process ends at the next request."""

    NOT_A_NUMBER = "not_a_number"
    OUT_OF_RANGE = "out_of_range"
    STALE = "stale"
    """It answers with an hour-old signal."""

    WRONG_SYMBOL = "wrong_symbol"
    GARBAGE = "garbage"
    """It answers with a line that is not a signal."""


def break_model(state_dir: Path, fault: ModelFault, seconds: float = 0.0) -> None:
    """Inject a fault into the model of the bot with this state folder.

    Raises:
        OSError: the file cannot be written.
    """
    scratch = state_dir / f".{FILE}.new"
    scratch.write_text(f"{fault.value} {seconds:g}\n", encoding="ascii")
    scratch.replace(state_dir / FILE)


def repair_model(state_dir: Path) -> None:
    """Remove the fault; a model that hangs stays hung until it is restarted."""
    (state_dir / FILE).unlink(missing_ok=True)


def read_fault(state_dir: Path) -> tuple[ModelFault | None, float]:
    """Return the injected fault and its seconds; None if there is none, or it is unreadable."""
    try:
        name, _, seconds = (state_dir / FILE).read_text(encoding="ascii").strip().partition(" ")
        return ModelFault(name), float(seconds or 0)
    except (OSError, ValueError):
        return None, 0.0
