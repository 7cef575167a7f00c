"""Suspends the parts of a bot that can wait, for a maintenance window.

The feed, the orders, the stops, the risk limits and the heartbeat are never suspended.
"""

from collections.abc import Callable, Collection, Mapping

from trading_ops import clock, logs
from trading_ops.agent import BadRequest, Command, Params

log = logs.get(__name__)

MAX_SECONDS = 300
"""The longest time of one command; the reconciler renews it while the window is open."""


class Suspension:
    """Which parts are suspended, and until when; the parts check it.

    Example:
        suspension = Suspension({"model", "probes"})
        while True:
            if not suspension.is_suspended("model"):
                await ask_the_model()
            await asyncio.sleep(1)
    """

    def __init__(
        self, parts: Collection[str], *, monotonic: Callable[[], float] = clock.monotonic
    ) -> None:
        """Start with all parts running.

        Args:
            parts: the names of those that can be suspended.
            monotonic: a monotonic clock in seconds.
        """
        self.parts = frozenset(parts)
        self._monotonic = monotonic
        self._until = 0.0

    def is_suspended(self, part: str) -> bool:
        """Return whether a part must not work now. Thread-safe.

        Raises:
            KeyError: the part cannot be suspended.
        """
        if part not in self.parts:
            raise KeyError(part)
        return self._monotonic() < self._until

    def suspend(self, seconds: float) -> str:
        """Suspend all parts for that long from now, without further action; 0 resumes them."""
        was, self._until = self._until, self._monotonic() + seconds
        names = ", ".join(sorted(self.parts))
        if seconds and was <= self._monotonic():
            log.warning("parts_suspended", parts=names)
        elif not seconds:
            log.warning("parts_resumed", parts=names)
        return f"{names} suspended for {seconds:g} s" if seconds else f"{names} resumed"


def suspension_commands(suspension: Suspension) -> Mapping[str, Command]:
    """Return the command `suspend_parts`, whose parameter `seconds` is 0 to resume."""

    async def suspend_parts(params: Params) -> str:
        return suspension.suspend(_seconds(params))

    def check(params: Params) -> None:
        _seconds(params)

    return {"suspend_parts": Command(run=suspend_parts, required={"seconds": None}, check=check)}


def _seconds(params: Params) -> int:
    text = params["seconds"]
    good = text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_SECONDS))
    if not good or int(text) > MAX_SECONDS:
        raise BadRequest(f"params.seconds must be a whole number from 0 to {MAX_SECONDS}")
    return int(text)
