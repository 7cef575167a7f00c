"""A Freqtrade, commanded as an agent is: pause, reduce, halt, resume, reload.

What Freqtrade answers to an order says little: orders are carried out later, and some are done and
answered with an error. Each command is therefore confirmed by reading the state afterwards, and
says `failed` when it cannot be. Source: https://www.freqtrade.io/en/stable/rest-api/.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Literal, TypeVar

import msgspec

from trading_ops import clock
from trading_ops.clients.agent import BotHealth, ComponentHealth, ReportedHold
from trading_ops.clients.executor import CommandResult
from trading_ops.clients.freqtrade_holds import GLOBAL, STATES, LockedHold, from_reason, to_reason
from trading_ops.clients.http import Http
from trading_ops.errors import Refused, Unreachable

T = TypeVar("T")

ROOT = "/api/v1"
FOREVER = timedelta(days=3650)
"""A lock must have an end; a hold has none but a person's word."""

LOOK_AGAIN_SECONDS = 0.2
STUCK_SECONDS = 60.0
SERVER_ERROR = 500
ALL = "all"

State = Literal["running", "paused", "stopped", "reload_config"]


class _Config(msgspec.Struct):
    state: State


class _Health(msgspec.Struct):
    last_process_ts: float | None
    bot_startup_ts: float | None


class _Lock(msgspec.Struct):
    id: int
    active: bool
    pair: str
    lock_timestamp: float
    lock_end_timestamp: float
    reason: str | None = None


class _Locks(msgspec.Struct):
    locks: list[_Lock]


class Freqtrade:
    """One Freqtrade; its Http has the address without `/api/v1`, and HTTP Basic."""

    def __init__(self, http: Http, name: str) -> None:
        self._http = http
        self._name = name

    async def health(self) -> BotHealth:
        """Return the bot's health and our holds on it, asked directly.

        A halt that is not in force any more, as after a restart, is told as `reducing`: that is
        what its lock alone does. Whoever keeps the holds then lays it again.

        Raises:
            ClientError: it did not answer, or not as a Freqtrade.
        """
        health, state, holds = await asyncio.gather(
            self._health(), self._state(), self._locked_holds()
        )
        beat = health.last_process_ts
        lives = beat is not None and clock.timestamp() - beat <= STUCK_SECONDS
        paused = state in {"paused", "stopped"}
        return BotHealth(
            bot=self._name,
            status="failing" if state == "stopped" else "ok" if lives else "degraded",
            incarnation=str(health.bot_startup_ts),
            state=_trading_state(state, holds),
            components={"heartbeat": ComponentHealth(up=lives)},
            holds=[
                ReportedHold(
                    id=hold.id,
                    state=hold.state if paused else "reducing",
                    owner=hold.owner,
                    reason=hold.reason,
                    at=hold.at,
                )
                for hold in _strictest(holds)
            ],
        )

    async def command(
        self,
        name: str,
        params: Mapping[str, Any],
        *,
        attempt_id: str,  # noqa: ARG002 - Freqtrade keeps none; each command may be repeated
        fence: int,  # noqa: ARG002 - nor does it keep a fence
        within: timedelta,
    ) -> CommandResult:
        """Carry out a command and confirm it by reading; twice does no harm.

        Raises:
            Unreachable: no answer: whether it was done is unknown.
            Refused: there is no such command, or a parameter is missing.
        """
        commands: Mapping[str, Callable[[Mapping[str, Any]], Awaitable[str]]] = {
            "pause": self._pause,
            "reduce": lambda given: self._lay("reducing", given),
            "halt": lambda given: self._lay("halted", given),
            "resume": self._resume,
            "reload": self._reload,
        }
        if name not in commands:
            raise Refused(f"a Freqtrade knows {', '.join(sorted(commands))}, not {name}")
        try:
            async with asyncio.timeout(within.total_seconds()):
                return CommandResult(outcome="succeeded", detail=await commands[name](params))
        except TimeoutError:
            return CommandResult(
                outcome="failed",
                detail=f"{name} was not confirmed within {within.total_seconds():g} s",
            )

    async def reapply(self) -> bool:
        """Pause it again when a halt stands and it runs, as after a restart; say whether it did.

        Raises:
            ClientError: it did not answer.
        """
        if await self._state() != "running":
            return False
        if all(hold.state != "halted" for hold in await self._locked_holds()):
            return False
        await self._pause({})
        return True

    async def _lay(self, state: str, params: Mapping[str, Any]) -> str:
        owner, reason = _text(params, "owner"), _text(params, "reason")
        hold_id = str(params.get("id") or f"{state}-{int(clock.timestamp() * 1000)}")
        try:
            text = to_reason(state, hold_id, owner, reason)
        except ValueError as error:
            raise Refused(str(error)) from error
        orders: list[Awaitable[object]] = [self._lock(state, hold_id, text)]
        if state == "halted":
            orders.append(self._pause({}))
        # Both at once: each keeps entries out, whatever becomes of the other.
        for ended in await asyncio.gather(*orders, return_exceptions=True):
            if isinstance(ended, BaseException):
                raise ended
        return f"hold {hold_id} stands as {state}"

    async def _lock(self, state: str, hold_id: str, text: str) -> None:
        def stands(holds: list[LockedHold]) -> bool:
            return any(one.id == hold_id and one.state in {state, "halted"} for one in holds)

        if stands(await self._locked_holds()):
            return
        until = (clock.now() + FOREVER).isoformat()
        lock = {"pair": GLOBAL, "side": "*", "until": until, "reason": text}
        await self._order("POST", "/locks", [lock])
        await self._until(self._locked_holds, stands)

    async def _pause(self, _params: Mapping[str, Any]) -> str:
        # A pause would start one that is stopped, and that manages nothing already.
        if await self._state() != "stopped":
            await self._order("POST", "/pause")
        state = await self._until(self._state, lambda now: now in {"paused", "stopped"})
        return f"it is {state}"

    async def _resume(self, params: Mapping[str, Any]) -> str:
        """Lift the holds that are named; locks that are not ours stay, as a protection's."""
        _text(params, "owner"), _text(params, "reason")
        named = {part.strip() for part in _text(params, "holds").split(",") if part.strip()}
        holds = await self._locked_holds()
        lifted = [hold for hold in holds if hold.id in named or named == {ALL}]
        if not lifted:
            return "none of these holds stands here, so nothing was done"
        ids = {hold.lock_id for hold in lifted}
        for lock_id in sorted(ids):
            await self._order("DELETE", f"/locks/{lock_id}")
        left = await self._until(
            self._locked_holds, lambda now: not ids & {hold.lock_id for hold in now}
        )
        if any(hold.state == "halted" for hold in left):
            return f"{len(lifted)} holds were lifted; another halt stands"
        if await self._state() == "stopped":
            return f"{len(lifted)} holds were lifted; it is stopped, which was not our doing"
        await self._order("POST", "/start")
        await self._until(self._state, lambda now: now == "running")
        return f"{len(lifted)} holds were lifted; it is running"

    async def _reload(self, _params: Mapping[str, Any]) -> str:
        """Read its configuration anew; that ends a pause, so a halt is laid again at once."""
        before, state = await asyncio.gather(self._health(), self._state())
        if state == "stopped":
            raise Refused("it is stopped, and a reload could start it")
        await self._order("POST", "/reload_config")
        await self._until(
            self._health,
            lambda now: (
                now.bot_startup_ts is not None and now.bot_startup_ts != before.bot_startup_ts
            ),
        )
        await self._until(self._state, lambda now: now != "reload_config")
        if state == "paused" or await self.reapply():
            await self._pause({})
            return "it is reloaded, and paused as before"
        return "it is reloaded"

    async def _order(self, method: str, path: str, json: Any = None) -> None:
        """Give an order; an error of its own means nothing, for what was done is read afterwards.

        Raises:
            Unreachable: no answer.
            Refused: it did not take the order.
        """
        answer = await self._http.ask(method, ROOT + path, json=json)
        if answer.status != 200 and answer.status < SERVER_ERROR:  # noqa: PLR2004
            text = answer.body[:200].decode(errors="replace")
            raise Refused(f"{method} {path}: HTTP {answer.status}: {text}")

    async def _until(self, ask: Callable[[], Awaitable[T]], holds: Callable[[T], bool]) -> T:
        """Ask until it is so; the command's deadline ends it."""
        while True:
            try:
                found = await ask()
            except Unreachable:  # while it reloads it may not answer
                pass
            else:
                if holds(found):
                    return found
            await asyncio.sleep(LOOK_AGAIN_SECONDS)

    async def _state(self) -> State:
        return (await self._get("/show_config", _Config)).state

    async def _health(self) -> _Health:
        return await self._get("/health", _Health)

    async def _locked_holds(self) -> list[LockedHold]:
        now = clock.timestamp()
        found = [
            from_reason(lock.id, lock.reason or "", lock.lock_timestamp / 1000)
            for lock in (await self._get("/locks", _Locks)).locks
            if lock.active and lock.pair == GLOBAL and lock.lock_end_timestamp / 1000 > now
        ]
        return [hold for hold in found if hold is not None]

    async def _get(self, path: str, kind: type[T]) -> T:
        body = await self._http.get(ROOT + path)
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise Unreachable(f"{path}: not the documented answer: {error}") from error


def _strictest(holds: list[LockedHold]) -> list[LockedHold]:
    """Return one for each id: a reduction that became a halt is two locks."""
    by_strictness = sorted(holds, key=lambda hold: STATES.index(hold.state))
    return list({hold.id: hold for hold in by_strictness}.values())


def _trading_state(state: State, holds: list[LockedHold]) -> str:
    if state == "stopped" or (state == "paused" and holds):
        return "halted"
    return "reducing" if holds or state == "paused" else "active"


def _text(params: Mapping[str, Any], key: str) -> str:
    value = params.get(key)
    if not isinstance(value, str) or not value:
        raise Refused(f"params.{key} must be a text")
    return value
