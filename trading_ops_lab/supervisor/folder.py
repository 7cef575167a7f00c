"""The one sentence for a folder that cannot be written."""

from pathlib import Path

from trading_ops.errors import SetupError


def unwritable(folder: Path, error: OSError) -> SetupError:
    """Return the error, with how to fix it."""
    return SetupError(
        f"the folder {folder} cannot be written ({error.strerror or error}): make it writable "
        "for you, or name another one with TRADING_OPS_VAR"
    )
