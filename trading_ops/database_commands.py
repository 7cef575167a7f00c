"""Agent commands that renew and resize the connection pool of a bot's SQLAlchemy engine.

agent = embed(metrics, "alpha", 8411, ..., commands=engine_commands(engine))

`recycle_pool` and `reconnect_database` do the same to an engine: close idle connections, detach
those in use, which are closed when they are returned, and test a new one. `scale_pool` allows more
connections for a time. Threads that wait for a
connection of the old pool keep waiting for it, up to `pool_timeout`. Engines of SQLAlchemy's
asyncio extension are not supported.
"""

import asyncio

from sqlalchemy import Engine, QueuePool, exc, text

from trading_ops.agent import Command, CommandFailed, Params
from trading_ops.pool_size import pool_size_command

DEADLINE_SECONDS = 15.0


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
        "scale_pool": pool_size_command(engine),
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
