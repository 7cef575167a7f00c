"""Nonces of an API key that another instance may be using: none are issued before the takeover.

A single request of a standby would use a nonce above the leader's, and the venue would refuse every
later request of the leader.
"""

from pathlib import Path

from trading_ops.botkit.nonces.exclusive import ExclusiveSource
from trading_ops.botkit.nonces.folder import key_folder
from trading_ops.botkit.nonces.source import NonceExhausted


class DeferredSource:
    """A source of nonces that is opened at the takeover."""

    def __init__(self, home: Path, key: str) -> None:
        """Set up the source without touching the key's folder.

        Args:
            home: this instance's own folder of nonces.
            key: the API key.
        """
        self._folder = key_folder(home, key)
        self._source: ExclusiveSource | None = None

    @property
    def reserved(self) -> int:
        """Return the reserved ceiling, 0 before the source is opened."""
        return self._source.reserved if self._source is not None else 0

    def open(self, floor: int) -> None:
        """Issue nonces above `floor` from now on; does nothing if it is already open.

        Args:
            floor: the highest nonce that any instance has reserved.

        Raises:
            SetupError: the folder cannot be used.
            NonceExhausted: there are no higher numbers.
        """
        if self._source is None:
            self._source = ExclusiveSource(self._folder, floor=floor)

    def issue(self) -> int:
        """Return the next nonce.

        Raises:
            NonceExhausted: this instance does not lead, or no nonce is reserved.
        """
        return self._opened.issue()

    def raise_to(self, floor: int) -> None:
        """Issue only nonces above `floor` from now on.

        Raises:
            NonceExhausted: this instance does not lead, or the floor could not be stored.
        """
        self._opened.raise_to(floor)

    def close(self) -> None:
        """Release the folder."""
        if self._source is not None:
            self._source.close()

    @property
    def _opened(self) -> ExclusiveSource:
        if self._source is None:
            raise NonceExhausted("this instance is a standby: it makes no requests with the key")
        return self._source
