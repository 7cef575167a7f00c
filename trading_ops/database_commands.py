"""The commands with which an agent renews the pool of a bot's SQLAlchemy engine.

agent = embed(metrics, "alpha", 8411, ..., commands=engine_commands(engine))

`recycle_pool` and `reconnect_database` do the same to an engine: idle connections are closed, those
in use are let go and closed when their work gives them back, and a new one must answer. Threads
that wait for a connection of the old pool go on waiting for that one, up to its `pool_timeout`.
An engine of SQLAlchemy's asyncio extension is not for this.
"""

import asyncio

from sqlalchemy import Engine, QueuePool, exc, text

from trading_ops.agent import Command, CommandFailed, Params

DEADLINE_SECONDS = 15.0


def engine_commands(engine: Engine) -> dict[str, Command]:
    """Return the commands by name; the work is done in a thread, and no loop waits for it."""

    async def renew(_params: Params) -> str:
        try:
            return await asyncio.to_thread(_renew, engine)
        except (exc.SQLAlchemyError, OSError) as error:
            raise CommandFailed(f"no new connection answers: {type(error).__name__}") from error

    command = Command(run=renew, deadline_seconds=DEADLINE_SECONDS)
    return {"recycle_pool": command, "reconnect_database": command}


def _renew(engine: Engine) -> str:
    told = _told(engine)
    engine.dispose()
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    return told


def _told(engine: Engine) -> str:
    """Return what becomes of the connections that there are now."""
    pool = engine.pool
    if not isinstance(pool, QueuePool):
        return "the pool was renewed, and a new connection answers"
    return (
        f"{pool.checkedin()} idle connections were closed, {pool.checkedout()} in use were let go, "
        "and a new one answers"
    )
