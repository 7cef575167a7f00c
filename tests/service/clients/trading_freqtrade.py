"""A Freqtrade that has positions: it enters and closes them as badly as a test says.

The rules of the real one: an exit is refused by one that is stopped, a forced entry passes a lock,
a pause starts one that is stopped and is forgotten by one that reloads, a loop that has started
before a pause may still enter, and whatever is done may be answered with 502.
"""

from typing import Any

from aiohttp import web

from tests.service.exporter.freqtrades import FakeFreqtrade
from trading_ops import clock

NOT_RUNNING = {"error": "Error querying /api/v1/forceexit: trader is not running"}


class TradingFreqtrade(FakeFreqtrade):
    """A fake with a loop and trades."""

    def __init__(self, open_trades: int = 2) -> None:
        super().__init__()
        self.open = open_trades
        self.fails: list[int] = []
        """How many trades each of the next forced exits closes; then one closes all."""

        self.entering = 0
        """What the loop that is under way enters before it ends."""

        self.blocked = False
        """The loop does not come round: the exchange throttles it, or hangs."""

        self.reloading = 0
        """For how many readings of the state it reloads."""

        self.received: list[tuple[str, str]] = []
        """Each order, and the state in which it came."""

    def restart(self) -> None:
        """Start again; what comes back stopped has no start, and tells the last one."""
        started = self.started
        super().restart()
        if self.state == "stopped":
            self.started = started

    def _loop_ends(self) -> None:
        if self.blocked or self.state == "stopped":
            return
        self.looped = clock.timestamp() + 1  # it tells whole seconds, rounded down
        self.open += self.entering
        self.entering = 0

    async def _obey(self, request: web.Request) -> web.StreamResponse:
        order = request.match_info["endpoint"]
        self.received.append((order, self.state))
        if order == "forceexit":
            assert await request.json() == {"tradeid": "all", "ordertype": "market"}
            self.asked.append(order)
            return self._exit()
        if order == "forceenter":
            return self._enter()
        if order == "pause" and self.state == "reload_config":
            return web.json_response({"status": "paused, no more entries will occur from now."})
        answer = await super()._obey(request)
        if order == "reload_config" and self.reloading:
            self.state = "reload_config"
        return answer

    def _exit(self) -> web.StreamResponse:
        if self.state == "stopped":
            return web.json_response(NOT_RUNNING, status=502)
        closes = self.fails.pop(0) if self.fails else self.open
        self.open -= closes
        status = self.errors.get("forceexit", 502 if self.open else 200)
        return web.json_response({"result": "Created exit orders."}, status=status)

    def _enter(self) -> web.StreamResponse:
        if self.state != "running":
            return web.json_response(NOT_RUNNING, status=502)
        self.open += 1  # whatever is locked
        return web.json_response({"trade_id": self.open})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        endpoint = request.match_info["endpoint"]
        if endpoint == "show_config" and self.state == "reload_config":
            self.reloading -= 1
            if self.reloading <= 0:
                self.state = self.initial_state
        if endpoint == "health":
            self._loop_ends()
        self.answers["count"] = {"current": self.open, "max": 3, "total_stake": 99.5 * self.open}
        self.answers["status"] = [{"trade_id": number} for number in range(self.open)]
        return await super()._answer(request)

    @property
    def orders(self) -> list[str]:
        """What was ordered, in its order."""
        return [order for order, _ in self.received]

    def active_locks(self) -> list[dict[str, Any]]:
        """Return the locks that stand."""
        return [lock for lock in self.locks if lock["active"]]
