"""Agent commands that renew and resize the connection pool of a bot's SQLAlchemy engine.

agent = embed(metrics, "alpha", 8411, ..., commands=engine_commands(engine))

`recycle_pool` and `reconnect_database` do the same to an engine: close idle connections, detach
those in use, which are closed when they are returned, and test a new one. `scale_pool` allows more
connections for a time. Threads that wait for a connection of the old pool keep waiting for it, up
to `pool_timeout`. Engines of SQLAlchemy's asyncio extension are not supported. SQLAlchemy is the
bot's own dependency: no extra installs it.
"""

import asyncio
import contextlib
import math

from sqlalchemy import Engine, QueuePool, event, exc, text

from trading_ops import logs
from trading_ops.agent import BadRequest, Command, CommandFailed, Params
from trading_ops.agent.attempts import current_attempt
from trading_ops.instrument.sqlalchemy import most_connections

log = logs.get(__name__)

DEADLINE_SECONDS = 15.0
MIN_PERCENT = 100
MAX_PERCENT = 400
MAX_SECONDS = 3600
"""The longest time of one change; a later one can extend it."""


def engine_commands(engine: Engine) -> dict[str, Command]:
    """Return the commands by name; they run in a thread and do not block the event loop."""

    async def renew(_params: Params) -> str:
        try:
            return await asyncio.to_thread(_renew, engine)
        except (exc.SQLAlchemyError, OSError) as error:
            raise CommandFailed(f"cannot open a new connection: {type(error).__name__}") from error

    command = Command(run=renew, deadline_seconds=DEADLINE_SECONDS)
    return {
        "recycle_pool": command,
        "reconnect_database": command,
        "scale_pool": _scale_pool_command(engine),
    }


def _renew(engine: Engine) -> str:
    result = _result(engine)
    engine.dispose()
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    return result


def _result(engine: Engine) -> str:
    """Return the result text."""
    pool = engine.pool
    if not isinstance(pool, QueuePool):
        return "the pool was renewed; a new connection works"
    return (
        f"{pool.checkedin()} idle connections were closed, {pool.checkedout()} in use "
        "detached; a new connection works"
    )


class _PoolSize:
    """The maximum of a pool's connections, in percent of what the bot configured.

    The latest change is in force; when it ends, the one before it that still lasts. Use it from one
    event loop.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._usual = most_connections(engine.pool) if isinstance(engine.pool, QueuePool) else None
        self._changes: dict[str, tuple[int, float]] = {}
        """Percent and end in the loop's time, by attempt in the order of requests."""

        self._timer: asyncio.TimerHandle | None = None
        self._applying: asyncio.Task[None] | None = None

    async def change(self, percent: int, seconds: float, attempt: str) -> None:
        """Have another size for some seconds.

        Raises:
            CommandFailed: the pool has no limit.
        """
        end = asyncio.get_running_loop().time() + seconds
        self._changes.pop(attempt, None)
        self._changes[attempt] = (percent, end)
        await self._apply()

    async def end(self, attempt: str | None) -> None:
        """End the change of one attempt; None: all.

        Raises:
            CommandFailed: the pool has no limit.
        """
        ended = list(self._changes) if attempt is None else [attempt]
        for name in ended:
            self._changes.pop(name, None)
        await self._apply()

    @property
    def most(self) -> int:
        """Return the present maximum of connections."""
        pool = self._engine.pool
        return (most_connections(pool) if isinstance(pool, QueuePool) else None) or 0

    async def _apply(self) -> None:
        pool = self._engine.pool
        if self._usual is None or not isinstance(pool, QueuePool):
            raise CommandFailed("the pool has no maximum of connections")
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._changes = {name: kept for name, kept in self._changes.items() if kept[1] > now}
        percent = next(reversed(self._changes.values()), (MIN_PERCENT, now))[0]
        wanted = math.ceil(self._usual * percent / 100)
        shrinks = wanted < self.most
        pool._max_overflow = wanted - pool.size()  # noqa: SLF001 - there is no public setter
        if shrinks:
            await asyncio.to_thread(_replace, self._engine)
        if self._timer is not None:
            self._timer.cancel()
        ends = min((end for _, end in self._changes.values()), default=None)
        self._timer = None if ends is None else loop.call_at(ends, self._expire)
        log.warning("pool_size_changed", percent=percent, connections=wanted)

    def _expire(self) -> None:
        self._applying = asyncio.create_task(self._apply_expired(), name="restore-pool-size")

    async def _apply_expired(self) -> None:
        with contextlib.suppress(CommandFailed):  # the pool was replaced by one without a limit
            await self._apply()


def _replace(engine: Engine) -> None:
    """Begin a new pool, because a pool keeps the connections that it has.

    Connections in use are closed when they are returned.
    """
    old = engine.pool
    engine.dispose()
    event.listen(old, "checkin", lambda _connection, entry: entry.close())
    old.dispose()  # what was returned in between


def _scale_pool_command(engine: Engine) -> Command:
    """Return the command `scale_pool`: `percent` of the pool's connections for `seconds`.

    With 0 seconds it ends all changes, or with `undoes` that of one attempt.
    """
    size = _PoolSize(engine)

    async def scale_pool(params: Params) -> str:
        seconds = int(params["seconds"])
        if seconds == 0:
            await size.end(params.get("undoes"))
            return f"the pool has up to {size.most} connections"
        await size.change(int(params["percent"]), seconds, current_attempt.get() or "")
        return f"the pool has up to {size.most} connections for the next {seconds} s"

    return Command(
        run=scale_pool,
        required={"percent": None, "seconds": None},
        optional=frozenset({"undoes"}),
        check=_check,
    )


def _check(params: Params) -> None:
    _whole(params, "percent", MIN_PERCENT, MAX_PERCENT)
    _whole(params, "seconds", 0, MAX_SECONDS)


def _whole(params: Params, name: str, least: int, most: int) -> None:
    text = params[name]
    if not (text.isascii() and text.isdecimal() and least <= int(text[:9]) <= most):
        raise BadRequest(f"params.{name} must be a whole number from {least} to {most}")
