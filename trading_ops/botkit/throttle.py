"""Reduces the bot's load for a limited time by stretching its pauses."""

from collections.abc import Callable

from trading_ops import clock, logs
from trading_ops.agent import BadRequest, Command, Params
from trading_ops.agent.attempts import current_attempt
from trading_ops.instrument import BotMetrics

log = logs.get(__name__)

FACTOR = 4.0
"""Pauses are this many times as long while throttled."""

MAX_SECONDS = 3600
"""The longest time of one `throttle_load` command; a later command can extend it."""


class Throttle:
    """Stretches pauses until a deadline; it ends without further action, or earlier by `stop`.

    Example:
        throttle = Throttle(metrics, max_pause_seconds=10.0)
        throttle.start(600)
        while True:
            await trading_pass()
            await asyncio.sleep(throttle.pause(1.0))  # 4 s for the next 10 minutes
    """

    def __init__(
        self,
        metrics: BotMetrics,
        *,
        max_pause_seconds: float,
        monotonic: Callable[[], float] = clock.monotonic,
    ) -> None:
        """Start unthrottled.

        Args:
            metrics: of the bot.
            max_pause_seconds: no pause is stretched beyond this, so that safety checks stay
                frequent enough; a pause that is longer anyway is not changed.
            monotonic: a monotonic clock in seconds.
        """
        self._max_pause = max_pause_seconds
        self._monotonic = monotonic
        self._ends: dict[str, float] = {}
        metrics.watch_pauses(lambda: self.factor)

    @property
    def factor(self) -> float:
        """Return the current factor, before the bound; 1 when unthrottled."""
        return FACTOR if self._monotonic() < max(self._ends.values(), default=0.0) else 1.0

    def pause(self, seconds: float) -> float:
        """Return the pause to make instead of one of `seconds`."""
        return max(seconds, min(seconds * self.factor, self._max_pause))

    def start(self, seconds: float, *, attempt: str = "") -> None:
        """Throttle for `seconds` from now on; the latest end of all attempts counts."""
        now = self._monotonic()
        end = max(self._ends.get(attempt, 0.0), now + seconds)
        self._ends = {name: at for name, at in self._ends.items() if at > now} | {attempt: end}
        log.warning("load_throttled", seconds=seconds, factor=FACTOR)

    def stop(self) -> None:
        """End the throttling; the next pause has its normal length."""
        self._ends.clear()
        log.warning("load_throttle_ended")

    def undo(self, attempt: str) -> None:
        """End what one attempt started; what others started continues."""
        if self._ends.pop(attempt, None) is not None:
            log.warning("load_throttle_undone", attempt=attempt, factor=self.factor)


def throttle_commands(throttle: Throttle) -> dict[str, Command]:
    """Return the command `throttle_load`.

    Its parameter `seconds` is 0 to stop; with `undoes`, only what that attempt started.
    """

    async def throttle_load(params: Params) -> str:
        seconds = _seconds(params)
        if seconds == 0 and "undoes" in params:
            throttle.undo(params["undoes"])
            return f"pauses are {throttle.factor:g} times as long"
        if seconds == 0:
            throttle.stop()
            return "pauses have their normal length"
        throttle.start(seconds, attempt=current_attempt.get() or "")
        return f"pauses are {FACTOR:g} times as long for the next {seconds} s, then normal"

    return {
        "throttle_load": Command(
            run=throttle_load,
            required={"seconds": None},
            optional=frozenset({"undoes"}),
            check=_check,
        ),
    }


def _check(params: Params) -> None:
    _seconds(params)


def _seconds(params: Params) -> int:
    text = params["seconds"]
    good = text.isascii() and text.isdecimal() and int(text[:9]) <= MAX_SECONDS
    if not good or len(text) > len(str(MAX_SECONDS)):
        raise BadRequest(f"params.seconds must be a whole number from 0 to {MAX_SECONDS}")
    return int(text)
