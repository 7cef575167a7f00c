"""The PostgreSQL databases that jobs maintain: ours, and those that targets.yml names."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar

from trading_ops.config.secret_files import first_line
from trading_ops.config.settings import Settings
from trading_ops.config.targets import load_targets
from trading_ops.domain.target import Kind
from trading_ops.errors import ConfigError, StoreError
from trading_ops.jobs.job import Context
from trading_ops.jobs.work.concurrently import concurrently
from trading_ops.redaction import known
from trading_ops.store import Connection, engine
from trading_ops.store.engine import parse
from trading_ops.store.reader import read_once

T = TypeVar("T")
OURS = "reconciler's database"
AT_ONCE = 4
"""Databases at the same time; several may be on one server."""

FIX = "write postgresql://OWNER:PASSWORD@HOST/DATABASE to it"


@dataclass(frozen=True)
class MaintainedDatabase:
    """One database, and how it is read."""

    bot: str | None
    """The bot whose database it is; None: ours."""

    url: str

    def named(self, text: str) -> str:
        """Return a text about it, with the name of the bot in front."""
        return f"{self.bot}: {text}" if self.bot else text

    async def read(self, context: Context, work: Callable[[Connection], T]) -> T:
        """Call `work` with a read-only connection, in a thread.

        Raises:
            StoreError: the database cannot be read.
        """
        if self.bot is None:
            return await context.reader.read(work)
        # All of it in the thread: closing a reader waits for its query, also when cancelled.
        return await asyncio.to_thread(read_once, self.url, work)


async def of_each(
    found: Sequence[MaintainedDatabase],
    work: Callable[[MaintainedDatabase], Awaitable[T]],
    *,
    within: timedelta,
) -> tuple[list[tuple[MaintainedDatabase, T]], list[str]]:
    """Call `work` with each database; return what it returned, and what failed.

    Args:
        found: the databases.
        work: for one of them; its errors do not stop the others.
        within: time limit of all together.
    """
    of_name = {database.bot or OURS: database for database in found}
    results, problems = await concurrently(
        {name: partial(work, database) for name, database in of_name.items()},
        at_once=AT_ONCE,
        within=within,
    )
    prefix = f"{OURS}: "
    return (
        [(of_name[name], result) for name, result in results.items()],
        [problem.removeprefix(prefix) for problem in problems],
    )


async def databases(context: Context) -> tuple[list[MaintainedDatabase], list[str], list[str]]:
    """Return the databases, what is wrong with some, and on which ones automation must not act.

    Ours is the first, and missing if it is in SQLite.
    """
    found = []
    if await context.reader.read(engine.is_postgresql):
        found.append(MaintainedDatabase(None, context.settings.database_url))
    try:
        registry = await asyncio.to_thread(load_targets, context.settings.targets_file)
    except ConfigError as error:
        return found, [f"the bots' databases are not known: {error}"], []
    problems, left_alone = [], []
    for target in registry:
        if target.database_file is None:
            continue
        # A bare bot always is, because it takes no commands.
        if target.observe_only and target.kind is not Kind.BARE_BOT:
            left_alone.append(f"{target.name}: observe-only")
            continue
        read = partial(_url, context.settings, target.database_file)
        try:
            found.append(MaintainedDatabase(target.name, await asyncio.to_thread(read)))
        except (ConfigError, StoreError) as error:
            problems.append(f"{target.name}: {error}")
    return found, problems, left_alone


def _url(settings: Settings, file: str) -> str:
    path = settings.root / file
    url = first_line(path, FIX)
    parsed = parse(url)
    if parsed.password:
        known(parsed.password)
    if parsed.get_backend_name() != "postgresql":
        raise ConfigError(str(path), "", "it is not a database in PostgreSQL", FIX)
    return url
