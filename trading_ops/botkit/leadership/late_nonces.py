"""The nonces of a key that another instance may be using: none until this one leads.

A single request of a standby would have a nonce above the leader's, and end the leader's work.
"""

from pathlib import Path

from trading_ops.botkit.nonces.exclusive import ExclusiveSource
from trading_ops.botkit.nonces.folder import key_folder
from trading_ops.botkit.nonces.source import NonceExhausted


class LateSource:
    """A source of nonces that is opened at the takeover."""

    def __init__(self, home: Path, key: str) -> None:
        """Take where the key's folder is; it is not touched yet.

        Args:
            home: this instance's own folder of nonces.
            key: of the API.
        """
        self._folder = key_folder(home, key)
        self._owner: ExclusiveSource | None = None

    @property
    def reserved(self) -> int:
        """Return the ceiling, 0 before it is opened."""
        return self._owner.reserved if self._owner is not None else 0

    def open(self, floor: int) -> None:
        """Begin above what any instance has reserved; again is nothing new.

        Raises:
            SetupError: the folder cannot be used.
            NonceExhausted: there are no higher numbers.
        """
        if self._owner is None:
            self._owner = ExclusiveSource(self._folder, floor=floor)

    def issue(self) -> int:
        """Return the next nonce.

        Raises:
            NonceExhausted: this instance does not lead, or none is reserved.
        """
        return self._opened.issue()

    def raise_to(self, floor: int) -> None:
        """Issue only above `floor` from now on.

        Raises:
            NonceExhausted: this instance does not lead, or it could not be made durable.
        """
        self._opened.raise_to(floor)

    def close(self) -> None:
        """Give the folder up."""
        if self._owner is not None:
            self._owner.close()

    @property
    def _opened(self) -> ExclusiveSource:
        if self._owner is None:
            raise NonceExhausted("this instance is a standby: it makes no requests with the key")
        return self._owner
