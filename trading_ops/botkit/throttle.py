"""Less load for a time: longer pauses between passes and between probes, ended by the clock."""

from collections.abc import Callable

from trading_ops import clock, logs
from trading_ops.agent import BadRequest, Command, Params
from trading_ops.instrument import BotMetrics

log = logs.get(__name__)

FACTOR = 4.0
"""By which pauses are stretched."""

LONGEST_SECONDS = 3600
"""For which it can be asked at once; asked again, the later end stands."""


class Throttle:
    """By how much pauses are stretched now.

    Nothing has to end it: it is asked, and the time is over; a person may end it sooner. What
    guards the bot stays as fast as it must be, since no pause grows beyond `longest_seconds`.
    """

    def __init__(
        self,
        metrics: BotMetrics,
        *,
        longest_seconds: float,
        monotonic: Callable[[], float] = clock.monotonic,
    ) -> None:
        """Begin with nothing stretched.

        Args:
            metrics: of the bot.
            longest_seconds: no pause is made longer than that, nor shorter than it was.
            monotonic: the clock.
        """
        self._longest = longest_seconds
        self._monotonic = monotonic
        self._until = 0.0
        metrics.watch_pauses(lambda: self.factor)

    @property
    def factor(self) -> float:
        """Return by how much pauses are stretched, bounds aside; 1: not at all."""
        return FACTOR if self._monotonic() < self._until else 1.0

    def stretched(self, seconds: float) -> float:
        """Return the pause to make instead of this one."""
        return max(seconds, min(seconds * self.factor, self._longest))

    def begin(self, seconds: float) -> None:
        """Stretch pauses for so long from now on, or longer if that was asked before."""
        self._until = max(self._until, self._monotonic() + seconds)
        log.warning("load_throttled", seconds=seconds, factor=FACTOR)

    def end(self) -> None:
        """Make pauses as they were, from the next one on."""
        self._until = 0.0
        log.warning("load_no_longer_throttled")


def throttle_commands(throttle: Throttle) -> dict[str, Command]:
    """Return the command by its name."""

    async def throttle_load(params: Params) -> str:
        seconds = _seconds(params)
        if seconds == 0:
            throttle.end()
            return "pauses are as before"
        throttle.begin(seconds)
        return f"pauses are {FACTOR:g} times as long for the next {seconds} s, then as before"

    return {
        "throttle_load": Command(run=throttle_load, required={"seconds": None}, check=_check),
    }


def _check(params: Params) -> None:
    _seconds(params)


def _seconds(params: Params) -> int:
    text = params["seconds"]
    good = text.isascii() and text.isdecimal() and int(text[:9]) <= LONGEST_SECONDS
    if not good or len(text) > len(str(LONGEST_SECONDS)):
        raise BadRequest(f"params.seconds must be a whole number from 0 to {LONGEST_SECONDS}")
    return int(text)
