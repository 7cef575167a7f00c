"""Generated secrets: one per file, mode 0600, in a folder with mode 0700. Written only once."""

import base64
import secrets
from collections.abc import Iterable
from pathlib import Path

from trading_ops.config.secret_files import SHARED, TokenFile, is_filled, new_token, write_secret

VENUE_SECRET_BYTES = 64
"""Kraken's API secrets are 64 bytes in base64."""

TOKENS = (
    "metrics_token",
    "webhook_token",
    "operator_token",
    "supervisor_token",
    "node_token",
    "faults_token",
    "audit_key",
)


def venue_key_names(owner: str) -> tuple[str, str]:
    """Return the file names of the key and the secret; the owner is empty for the first bot."""
    suffix = f"_{owner}" if owner else ""
    return f"venue_key{suffix}", f"venue_secret{suffix}"


def write_secrets(
    folder: Path, key_owners: tuple[str, ...], agents: Iterable[TokenFile] = ()
) -> None:
    """Write missing files; keep existing ones, and tighten their mode.

    Args:
        folder: created with mode 0700.
        key_owners: owners of a key and secret at the venue, see `venue_key_names`.
        agents: the token files of the bots. A bot without a file keeps the shared token of an older
            version, if there is one.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for name in TOKENS:
        _write_once(folder / name, new_token())
    for owner in key_owners:
        key, secret = venue_key_names(owner)
        _write_once(folder / key, new_token())
        random = secrets.token_bytes(VENUE_SECRET_BYTES)
        _write_once(folder / secret, base64.b64encode(random).decode("ascii"))
    for agent in agents:
        if not is_filled(agent.path) and not agent.is_shared:
            write_secret(agent.path, new_token())
    for path in folder.glob(f"{SHARED}*"):
        path.chmod(0o600)


def _write_once(path: Path, value: str) -> None:
    if path.exists() and path.stat().st_size:
        path.chmod(0o600)
    else:
        write_secret(path, value)
