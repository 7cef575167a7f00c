"""A database pool in the bot that drills load; the bot's own records use no pool."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trading_ops.agent import Command, CommandFailed, Params
from trading_ops.instrument import BotMetrics

if TYPE_CHECKING:  # imported when a drill begins: a bot without drills does not need the memory
    from sqlalchemy import Engine

FILE: Final = "drill-pool.db"
CONNECTIONS: Final = 4
HOLD_SECONDS: Final = 0.5
"""Time for which a client keeps a connection, as with a slow statement."""


PAUSE_SECONDS: Final = 0.01
"""Time between two requests, in which a client that waits takes the connection."""


class PoolLoad:
    """Clients that want a connection all the time, each in a thread of its own."""

    def __init__(self, metrics: BotMetrics, folder: Path) -> None:
        """Start without a pool.

        Args:
            metrics: of the bot.
            folder: of its records.
        """
        self._metrics = metrics
        self._path = folder / FILE
        self._engine: Engine | None = None
        self._resize: Command | None = None
        self._stop = threading.Event()

    def load(self, clients: int) -> str:
        """Run this many clients instead of those that run now; 0 ends them."""
        self._stop.set()
        self._stop = stop = threading.Event()
        if clients:
            engine = self._open()
            for _ in range(clients):
                threading.Thread(target=_ask, args=(engine, stop), daemon=True).start()
        elif self._engine is not None:
            self._engine.dispose()
            self._path.unlink(missing_ok=True)
        return f"{clients} clients share {CONNECTIONS} connections"

    async def scale(self, params: Params) -> str:
        """Run the command `scale_pool` of an engine on this pool."""
        if self._resize is None:
            raise CommandFailed("the bot has no pool: its records use one connection")
        self._resize.check(params)
        return await self._resize.run(params)

    def _open(self) -> "Engine":
        from sqlalchemy import QueuePool, create_engine  # noqa: PLC0415

        from trading_ops.botkit.database_commands import engine_commands  # noqa: PLC0415
        from trading_ops.instrument.sqlalchemy import watch_engine  # noqa: PLC0415

        if self._engine is None:
            self._engine = create_engine(
                f"sqlite:///{self._path}",
                poolclass=QueuePool,
                pool_size=CONNECTIONS,
                max_overflow=0,
                connect_args={"check_same_thread": False},
            )
            watch_engine(self._metrics, self._engine, pool="drill")
            self._resize = engine_commands(self._engine)["scale_pool"]
        return self._engine


def _ask(engine: "Engine", stop: threading.Event) -> None:
    from sqlalchemy import exc, text  # noqa: PLC0415

    while not stop.is_set():
        try:
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
                stop.wait(HOLD_SECONDS)
            stop.wait(PAUSE_SECONDS)
        except exc.SQLAlchemyError:
            stop.wait(HOLD_SECONDS)
