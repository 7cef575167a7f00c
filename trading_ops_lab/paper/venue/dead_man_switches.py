"""The dead man's switch: cancels an account's orders unless it is renewed in time."""

from typing import Final

LONGEST: Final = 86_400
"""Seconds; Kraken accepts no longer timeout."""


class DeadManSwitches:
    """One deadline per account, in epoch seconds."""

    def __init__(self, deadlines: dict[str, float]) -> None:
        """Continue with stored deadlines; a past one is due at once."""
        self.deadlines = deadlines

    def arm(self, account: str, timeout: int, now: float) -> float | None:
        """Restart the countdown; 0 disarms it. Return the new deadline."""
        if timeout == 0:
            self.deadlines.pop(account, None)
            return None
        self.deadlines[account] = now + timeout
        return self.deadlines[account]

    def due(self, now: float) -> list[str]:
        """Return the accounts whose deadline has passed, and disarm them."""
        accounts = [name for name, deadline in self.deadlines.items() if deadline <= now]
        for name in accounts:
            del self.deadlines[name]
        return accounts
