"""Client that controls a Freqtrade like an agent: pause, reduce, halt, resume, reload, exit.

Freqtrade's answer to a command proves little: commands run later, and some succeed and are answered
with an error. Each command is therefore confirmed by reading the state afterwards, and its outcome
is `failed` if that is not possible.

Freqtrade stores neither a fence nor attempt IDs. These commands do not need them: each one requests
a state, not a change, so a repeated one, a late one, and one of another replica change nothing.
Actions that must run at most once are not offered.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

from trading_ops import clock
from trading_ops.backoff import Backoff
from trading_ops.clients.agent import (
    BotHealth,
    CommandAnswer,
    CommandResult,
    EventsHead,
    EventsPage,
    ReportedComponent,
    ReportedHold,
)
from trading_ops.clients.freqtrade_api import (
    GLOBAL,
    QUIET,
    STATES,
    FreqtradeApi,
    LockedHold,
    State,
    to_reason,
)
from trading_ops.clients.freqtrade_exit import EmergencyExit
from trading_ops.clients.freqtrade_trades import JOURNAL, closed_trades
from trading_ops.clients.http import Http, is_timeout
from trading_ops.errors import Refused, Unreachable
from trading_ops.turns import Turns

FOREVER = timedelta(days=3650)
"""A lock must have an end; a hold ends only when an operator releases it."""

STUCK_SECONDS = 60.0
ALL = "all"


class Freqtrade:
    """One Freqtrade; its Http has the address without `/api/v1`, and HTTP Basic."""

    def __init__(
        self, http: Http, name: str, backoff: Backoff | None = None, turns: Turns | None = None
    ) -> None:
        """Take the connection, the bot's name, and what all clients of this Freqtrade share."""
        self._api = FreqtradeApi(http, turns or Turns())
        self._name = name
        self._backoff = backoff or Backoff()

    async def health(self) -> BotHealth:
        """Return the bot's health and our holds on it.

        A halt that is no longer in force, as after a restart, is reported as `reducing`: that is
        the effect of its lock alone. The reconciler then places it again.

        After a timeout only `/ping`, which needs no database, is requested, with increasing pauses:
        requests that a frozen Freqtrade cannot answer queue in its listener, and handling them all
        at once exhausts its database pool, which ends its trading loop.

        Raises:
            ClientError: it did not answer, or not as a Freqtrade.
        """
        if self._backoff.is_waiting:
            raise Unreachable(f"not answered; next try in {self._backoff.remaining:.0f} s")
        try:
            if self._backoff.is_mute:
                await self._api.ping()
            health = await self._api.health()
            state, holds = await self._api.state(), await self._api.holds()
        except (Unreachable, asyncio.CancelledError) as error:
            refused = isinstance(error, Unreachable) and not is_timeout(error)
            self._backoff.answered() if refused else self._backoff.timed_out()
            raise
        self._backoff.answered()
        beat = health.last_process_ts
        lives = beat is not None and clock.timestamp() - beat <= STUCK_SECONDS
        return BotHealth(
            bot=self._name,
            status="failing" if state == "stopped" else "ok" if lives else "degraded",
            incarnation=str(health.bot_startup_ts),
            state=_trading_state(state, holds),
            components={"heartbeat": ReportedComponent(up=lives)},
            holds=_in_force(state, holds),
            events=EventsHead(journal=JOURNAL, head=None),
        )

    async def events(self, after: int) -> EventsPage:
        """Return its closed trades as events: the new ones, oldest first, then known ones.

        Raises:
            Unreachable: it did not answer, or not as a Freqtrade.
        """
        return await closed_trades(self._api.trades, after)

    async def command(
        self,
        name: str,
        params: Mapping[str, Any],
        *,
        attempt_id: str,  # noqa: ARG002 - Freqtrade keeps none; each command may be repeated
        fence: int,  # noqa: ARG002 - nor does it keep a fence
        within: timedelta,
    ) -> CommandAnswer:
        """Run a command and confirm it by reading the state; idempotent.

        Raises:
            Unreachable: no answer, so the outcome is unknown.
            Refused: unknown command, or a parameter is missing.
        """
        commands: Mapping[str, Callable[[Mapping[str, Any]], Awaitable[CommandAnswer]]] = {
            "pause": self._pause,
            "reduce": lambda given: self._place("reducing", given),
            "halt": lambda given: self._place("halted", given),
            "resume": self._resume,
            "reload": self._reload,
            "flatten": lambda given: self._flatten(given, within),
            "is_flat": self._is_flat,
        }
        if name not in commands:
            raise Refused(f"a Freqtrade supports {', '.join(sorted(commands))}, not {name}")
        try:
            async with asyncio.timeout(within.total_seconds()):
                return await commands[name](params)
        except TimeoutError:
            return CommandAnswer(
                outcome="failed",
                detail=f"{name} was not confirmed within {within.total_seconds():g} s",
            )

    async def attempt(self, attempt_id: str) -> CommandResult:
        """Return the outcome of placing the hold with this ID, read from the active locks.

        Freqtrade stores no attempts, so this never reports an attempt as not arrived.

        Raises:
            ClientError: it did not answer.
        """
        state, holds = await asyncio.gather(self._api.state(), self._api.holds())
        meant = {hold.id: hold.state for hold in _strictest(holds)}.get(attempt_id)
        now = {hold.id: hold.state for hold in _in_force(state, holds)}.get(attempt_id)
        if meant is None or meant != now:
            return CommandResult(outcome="unknown", detail="a Freqtrade stores no attempts")
        return CommandResult(
            outcome="succeeded", detail=f"hold {attempt_id} is in force as {meant}"
        )

    async def raise_fence(self, fence: int) -> None:
        """Do nothing: there is no fence, and a late command is harmless."""

    async def reapply(self) -> bool:
        """Pause it again if a halt is active but it runs, as after a restart; return if so.

        Raises:
            ClientError: it did not answer.
        """
        if await self._api.state() != "running":
            return False
        if all(hold.state != "halted" for hold in await self._api.holds()):
            return False
        await self._api.pause()
        return True

    async def _place(self, state: str, params: Mapping[str, Any]) -> CommandAnswer:
        owner, reason = _text(params, "owner"), _text(params, "reason")
        hold_id = str(params.get("id") or f"{state}-{int(clock.timestamp() * 1000)}")
        try:
            text = to_reason(state, hold_id, owner, reason)
        except ValueError as error:
            raise Refused(str(error)) from error
        orders: list[Awaitable[object]] = [self._lock(state, hold_id, text)]
        if state == "halted":
            orders.append(self._api.pause())
        # Independent of each other: either one prevents entries even if the other fails.
        for ended in await asyncio.gather(*orders, return_exceptions=True):
            if isinstance(ended, BaseException):
                raise ended
        left = "; entry orders that rest at the exchange are not cancelled"
        return _done(f"hold {hold_id} is in force as {state}{left if state == 'halted' else ''}")

    async def _lock(self, state: str, hold_id: str, text: str) -> None:
        def stands(holds: list[LockedHold]) -> bool:
            return any(hold.id == hold_id and hold.state in {state, "halted"} for hold in holds)

        if stands(await self._api.holds()):
            return
        until = (clock.now() + FOREVER).isoformat()
        lock = {"pair": GLOBAL, "side": "*", "until": until, "reason": text}
        await self._api.order("POST", "/locks", [lock])
        await self._api.until(self._api.holds, stands)

    async def _pause(self, _params: Mapping[str, Any]) -> CommandAnswer:
        return _done(f"it is {await self._api.pause()}")

    async def _resume(self, params: Mapping[str, Any]) -> CommandAnswer:
        """Release the named holds. Locks that we did not set, such as a protection's, stay."""
        _text(params, "owner"), _text(params, "reason")
        named = {part.strip() for part in _text(params, "holds").split(",") if part.strip()}
        state, holds = await asyncio.gather(self._api.state(), self._api.holds())
        released = [hold for hold in holds if hold.id in named or named == {ALL}]
        if not released:
            return _done("none of these holds is in force here")
        gone = _in_force(state, released)
        ids = {hold.lock_id for hold in released}
        for lock_id in sorted(ids):
            await self._api.order("DELETE", f"/locks/{lock_id}")
        left = await self._api.until(
            self._api.holds, lambda now: not ids & {hold.lock_id for hold in now}
        )
        done_text = f"{len(gone)} holds were released"
        if any(hold.state == "halted" for hold in left):
            return _done(f"{done_text}; another halt is in force", gone)
        if await self._api.state() == "stopped":
            return _done(
                f"{done_text}; it is stopped; an operator must start it in Freqtrade", gone
            )
        await self._api.order("POST", "/start")
        await self._api.until(self._api.state, lambda now: now == "running")
        return _done(f"{done_text}; it is running", gone)

    async def _reload(self, _params: Mapping[str, Any]) -> CommandAnswer:
        """Reload its configuration; that ends a pause, so a halt is applied again immediately."""
        before, state = await asyncio.gather(self._api.health(), self._api.state())
        if state == "stopped":
            raise Refused("it is stopped, and a reload could start it")
        await self._api.order("POST", "/reload_config")

        async def turned() -> tuple[State, float | None]:
            return await self._api.state(), (await self._api.health()).bot_startup_ts

        def is_loaded(now: tuple[State, float | None]) -> bool:
            # If its configuration stops it, it does not report a new start.
            if now[0] == "stopped":
                return True
            return now[0] != "reload_config" and now[1] not in {None, before.bot_startup_ts}

        if (await self._api.until(turned, is_loaded))[0] == "stopped":
            return _done("it is reloaded; its configuration sets it to stopped")
        if state == "paused" or await self.reapply():
            await self._api.pause()
            return _done("it is reloaded, and paused as before")
        return _done("it is reloaded")

    async def _flatten(self, params: Mapping[str, Any], within: timedelta) -> CommandAnswer:
        # The inner deadline is a little earlier, so that the answer can report the progress.
        leaving = EmergencyExit(self._api, lambda: self._place("halted", params))
        return await leaving.run(within * 0.95)

    async def _is_flat(self, _params: Mapping[str, Any]) -> CommandAnswer:
        """Return `succeeded` if nothing is open, else `failed`."""
        stopped = await self._api.state() == "stopped"
        count = await (self._api.trades_of_stopped() if stopped else self._api.open_trades())
        return CommandAnswer(
            outcome="failed" if count else "succeeded", detail=f"open positions: {count}"
        )


def _done(detail: str, released: list[ReportedHold] | None = None) -> CommandAnswer:
    return CommandAnswer(outcome="succeeded", detail=detail, released=released)


def _in_force(state: State, holds: list[LockedHold]) -> list[ReportedHold]:
    """Return our holds as they take effect: without its pause a halt only reduces."""
    return [
        ReportedHold(
            id=hold.id,
            state=hold.state if state in QUIET else "reducing",
            owner=hold.owner,
            reason=hold.reason,
            at=hold.at,
        )
        for hold in _strictest(holds)
    ]


def _strictest(holds: list[LockedHold]) -> list[LockedHold]:
    """Return one hold per id: a `reduce` that became a `halt` has two locks."""
    by_strictness = sorted(holds, key=lambda hold: STATES.index(hold.state))
    return list({hold.id: hold for hold in by_strictness}.values())


def _trading_state(state: State, holds: list[LockedHold]) -> str:
    if state == "stopped" or (state == "paused" and holds):
        return "halted"
    return "reducing" if holds or state == "paused" else "active"


def _text(params: Mapping[str, Any], key: str) -> str:
    value = params.get(key)
    if not isinstance(value, str) or not value:
        raise Refused(f"params.{key} must be a string")
    return value
