"""The part of Freqtrade's REST API needed for control: state and commands.

Source: https://www.freqtrade.io/en/stable/rest-api/. These requests need neither the exchange nor
Freqtrade's loop, so they are answered while the loop is stuck; `/status` and `/balance` need both
and are not used here.

Our holds are global locks whose reason contains the hold. A lock is a row in Freqtrade's database:
it survives a reload, a restart and `kill -9`, and prevents entries. A pause survives none of them
and has no owner. So a halt is a lock and a pause: the lock records that the pause is wanted.
"""

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar
from urllib.parse import quote, unquote

import msgspec

from trading_ops import clock
from trading_ops.clients.freqtrade_trades import Trades
from trading_ops.clients.http import Http
from trading_ops.errors import Refused, Unreachable
from trading_ops.turns import Turns

MARK = "trading-ops"
LONGEST_REASON = 255
"""Length of Freqtrade's column, in characters."""

LONGEST_OWNER = 60

STATES = ("reducing", "halted")
GLOBAL = "*"


@dataclass(frozen=True, kw_only=True)
class LockedHold:
    """One hold that is stored as a lock."""

    lock_id: int
    id: str
    state: str
    owner: str
    reason: str
    at: float
    """Seconds since the epoch."""


def to_reason(state: str, hold_id: str, owner: str, reason: str) -> str:
    """Return the text of the lock; owner and reason are truncated before the id.

    Raises:
        ValueError: the id alone is too long.
    """
    head = f"{MARK} {state} {quote(hold_id, safe='')} "
    if len(head) >= LONGEST_REASON:
        raise ValueError(f"a hold's id of {len(hold_id)} characters does not fit a lock")
    return f"{head}{quote(owner, safe='')[:LONGEST_OWNER]} {reason}"[:LONGEST_REASON]


def from_reason(lock_id: int, text: str, at: float) -> LockedHold | None:
    """Return the hold that is stored as this lock, or None if the lock is not ours."""
    mark, state, quoted, owner, reason = (*text.split(" ", 4), "", "", "", "", "")[:5]
    if mark != MARK or state not in STATES or not quoted:
        return None
    return LockedHold(
        lock_id=lock_id,
        id=unquote(quoted),
        state=state,
        owner=unquote(owner),
        reason=reason,
        at=at,
    )


T = TypeVar("T")

ROOT = "/api/v1"
LOOK_AGAIN_SECONDS = 0.2
PAUSE_AGAIN_SECONDS = 1.0
STATUS_WITHIN = timedelta(seconds=10)
FORCE_EXIT = "/forceexit"
SERVER_ERROR = 500

State = Literal["running", "paused", "stopped", "reload_config"]
QUIET = frozenset({"paused", "stopped"})
"""States in which the strategy opens no trades."""


class FreqtradeConfig(msgspec.Struct):
    """Of `/show_config`."""

    state: State


class FreqtradeHealth(msgspec.Struct):
    """Of `/health`."""

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


class _TradeCount(msgspec.Struct):
    current: int


class FreqtradeApi:
    """One Freqtrade; its Http has the address without `/api/v1`, and HTTP Basic.

    It answers one request at a time, across all clients; commands have priority over reads.
    """

    def __init__(self, http: Http, turns: Turns) -> None:
        self._http = http
        self._turns = turns

    async def ping(self) -> None:
        """Return once it answers.

        Raises:
            Unreachable: it did not.
        """
        async with self._turns.turn():
            await self._http.get(f"{ROOT}/ping")

    async def state(self) -> State:
        """Return the state that was last requested; its loop may not be in it yet."""
        return (await self._get("/show_config", FreqtradeConfig)).state

    async def health(self) -> FreqtradeHealth:
        """Return the time of the last loop iteration, and of the start."""
        return await self._get("/health", FreqtradeHealth)

    async def open_trades(self) -> int:
        """Return how many trades are open, unfilled entries included.

        Raises:
            Unreachable: no usable answer, as when it is stopped.
        """
        return (await self._get("/count", _TradeCount)).current

    async def trades_of_stopped(self) -> int:
        """Return how many trades are open while it is stopped, when it does not count them itself.

        Raises:
            Unreachable: no answer; with open trades it first queries the exchange.
        """
        answer = await self._http.ask("GET", f"{ROOT}/status", within=STATUS_WITHIN)
        if answer.status != 200:  # noqa: PLR2004
            raise Unreachable(f"/status: HTTP {answer.status}")
        return len(_decode("/status", answer.body, list[Any]))

    async def trades(self, params: dict[str, str]) -> Trades:
        """Return a page of the closed trades; it needs neither the exchange nor the loop."""
        return await self._get("/trades", Trades, params)

    async def holds(self) -> list[LockedHold]:
        """Return our holds, read from its locks."""
        now = clock.timestamp()
        found = [
            from_reason(lock.id, lock.reason or "", lock.lock_timestamp / 1000)
            for lock in (await self._get("/locks", _Locks)).locks
            if lock.active and lock.pair == GLOBAL and lock.lock_end_timestamp / 1000 > now
        ]
        return [hold for hold in found if hold is not None]

    async def order(
        self, method: str, path: str, json: Any = None, *, within: timedelta | None = None
    ) -> int:
        """Send a command and return the HTTP status of the answer, which proves nothing.

        A 5xx may be returned although the command succeeded: read the state afterwards.

        Raises:
            Unreachable: no answer.
            Refused: it rejected the command.
        """
        # An exit waits for the exchange, so other requests must not wait for it.
        waits = path == FORCE_EXIT
        async with contextlib.nullcontext() if waits else self._turns.turn(first=True):
            answer = await self._http.ask(method, ROOT + path, json=json, within=within)
        if answer.status != 200 and answer.status < SERVER_ERROR:  # noqa: PLR2004
            text = answer.body[:200].decode(errors="replace")
            raise Refused(f"{method} {path}: HTTP {answer.status}: {text}")
        return answer.status

    async def pause(self) -> State:
        """Stop it from opening trades, and return its state: paused or stopped.

        A stopped one stays stopped, because a pause would start it. A pause during a reload is
        answered and then lost, so it is repeated while the state is running.
        """
        ordered = -math.inf
        state = await self.state()
        while state not in QUIET:
            if state == "running" and clock.monotonic() - ordered >= PAUSE_AGAIN_SECONDS:
                ordered = clock.monotonic()
                await self.order("POST", "/pause")
            else:
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
            state = await self.until(self.state, lambda _: True)
        return state

    async def until(self, ask: Callable[[], Awaitable[T]], holds: Callable[[T], bool]) -> T:
        """Poll until the condition is true; the deadline of the caller ends it."""
        while True:
            try:
                found = await ask()
            except Unreachable:  # while it reloads it may not answer
                pass
            else:
                if holds(found):
                    return found
            await asyncio.sleep(LOOK_AGAIN_SECONDS)

    async def _get(self, path: str, kind: type[T], params: Mapping[str, str] | None = None) -> T:
        async with self._turns.turn():
            body = await self._http.get(ROOT + path, params=params)
        return _decode(path, body, kind)


def _decode(path: str, body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Unreachable(f"{path}: not the documented answer: {error}") from error
