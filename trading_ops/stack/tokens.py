"""Generated secrets: one a file, mode 0600, in a folder of mode 0700. Written once, then kept."""

import base64
import os
import secrets
from pathlib import Path

TOKEN_BYTES = 32
VENUE_SECRET_BYTES = 64
"""Kraken's API secrets are 64 bytes in base64."""

TOKENS = (
    "metrics_token",
    "agent_token",
    "webhook_token",
    "operator_token",
    "supervisor_token",
    "faults_token",
    "audit_key",
)


def venue_key_names(owner: str) -> tuple[str, str]:
    """Return the file names of the key and the secret; the owner is empty for the first bot."""
    suffix = f"_{owner}" if owner else ""
    return f"venue_key{suffix}", f"venue_secret{suffix}"


def write_secrets(folder: Path, key_owners: tuple[str, ...]) -> None:
    """Write what is missing; what is there is kept, and its mode is tightened.

    Args:
        folder: created with mode 0700.
        key_owners: for whom there is a key and secret at the venue, see `venue_key_names`.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for name in TOKENS:
        _write_once(folder / name, secrets.token_hex(TOKEN_BYTES))
    for owner in key_owners:
        key, secret = venue_key_names(owner)
        _write_once(folder / key, secrets.token_hex(TOKEN_BYTES))
        random = secrets.token_bytes(VENUE_SECRET_BYTES)
        _write_once(folder / secret, base64.b64encode(random).decode("ascii"))


def _write_once(path: Path, value: str) -> None:
    if path.exists() and path.stat().st_size:
        path.chmod(0o600)
        return
    # The file gets its name when it is whole: a crash never leaves half a token behind.
    scratch = path.with_name(f".{path.name}.new")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(value)
    scratch.replace(path)
