"""The model's fault switch: a file in the bot's state folder, for drills and tests.

The model's process reads it at each question, so a fault lasts over its restarts until somebody
takes the file away. The bot itself never looks at it.
"""

from enum import StrEnum
from pathlib import Path

FILE = "model_fault"


class ModelFault(StrEnum):
    """Ways in which a model is sick."""

    SLOW = "slow"
    """It answers after so many seconds."""

    HANG = "hang"
    """It never answers again."""

    CRASH = "crash"
    """It dies when it is asked."""

    NOT_A_NUMBER = "not_a_number"
    OUT_OF_RANGE = "out_of_range"
    STALE = "stale"
    """It answers with an hour-old signal."""

    WRONG_SYMBOL = "wrong_symbol"
    GARBAGE = "garbage"
    """It answers with what is no signal at all."""


def break_model(state_dir: Path, fault: ModelFault, seconds: float = 0.0) -> None:
    """Make the model of the bot with this state folder sick.

    Raises:
        OSError: the file cannot be written.
    """
    scratch = state_dir / f".{FILE}.new"
    scratch.write_text(f"{fault.value} {seconds:g}\n", encoding="ascii")
    scratch.replace(state_dir / FILE)


def mend_model(state_dir: Path) -> None:
    """Take the fault away; a model that hangs goes on hanging until it is started anew."""
    (state_dir / FILE).unlink(missing_ok=True)


def read_fault(state_dir: Path) -> tuple[ModelFault | None, float]:
    """Return the fault that is switched on, and its seconds; what cannot be read is none."""
    try:
        word, _, seconds = (state_dir / FILE).read_text(encoding="ascii").strip().partition(" ")
        return ModelFault(word), float(seconds or 0)
    except (OSError, ValueError):
        return None, 0.0
