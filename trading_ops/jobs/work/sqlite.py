"""Maintenance job for SQLite databases: ours, and the records of bots, each by its own writer."""

import asyncio
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import Any

from trading_ops import sqlite_care
from trading_ops.backup.disk import size
from trading_ops.clients.directory import Directory
from trading_ops.clients.http import session_of
from trading_ops.clients.secrets import SecretFiles
from trading_ops.config.targets import load_targets
from trading_ops.domain.job import JobOutcome
from trading_ops.domain.target import Kind, Registry, Target
from trading_ops.errors import ClientError, ConfigError, FencedOff, NotOffered, StoreError
from trading_ops.jobs.job import Context, JobResult, Plan, PlannedStep
from trading_ops.jobs.work.concurrently import SHARE, concurrently
from trading_ops.sqlite_care import Need
from trading_ops.store import Connection, engine, holds

RECONCILER = "reconciler"
COMMAND = "optimize_records"
NOTHING = "nothing to do"
"""Of a bot that has nothing to do."""

WITHIN = timedelta(seconds=60)
"""For the command of one bot, which stops itself earlier."""

AT_ONCE = 20
"""Bots that take care of their records at the same time: those of a host share its disk."""


class SqliteCare:
    """Updates statistics and releases free pages, through the writer like every other write.

    A bot with our agent does the same to its records, in the thread that writes them: a second
    writer could damage them.
    """

    async def plan(self, context: Context) -> Plan:
        """Return each needed step with its reason.

        Bots are not queried: a viewer may request a plan, and what a bot does for it could delay
        its orders.
        """
        needs = await context.reader.read(_needs)
        ours = [
            PlannedStep(need.what, need.reason, size(need.bytes) if need.bytes else "")
            for need in needs
        ]
        try:
            bots = _bots(await _registry(context))
        except ConfigError as error:
            return Plan(tuple(ours), refused="" if ours else f"the bots are not known: {error}")
        theirs = [
            PlannedStep(f"{bot.name}: {COMMAND}", "the bot checks its own records") for bot in bots
        ]
        return Plan((*ours, *theirs))

    async def run(self, context: Context) -> JobResult:
        """Run the steps in short transactions; other writes continue in between.

        Raises:
            StoreError: a bot failed; ours and the other bots' databases were maintained.
        """
        needs = await context.reader.read(_needs)
        for need in needs:
            for times in sqlite_care.batches(need):
                await context.writer.run(partial(_carry_out, need=need, times=times))
        answers, problems = await _ask_bots(context)
        done = [*(f"{need.what}: {need.reason}" for need in needs), *answers]
        if problems:
            raise StoreError("; ".join(problems + done))
        if not done:
            return JobResult(
                JobOutcome.NOTHING_TO_DO, "statistics are recent, and few pages are free"
            )
        return JobResult(JobOutcome.DONE, "; ".join(done))


def _needs(connection: Connection) -> list[Need]:
    return [] if engine.is_postgresql(connection) else sqlite_care.find(partial(_query, connection))


def _carry_out(connection: Connection, *, need: Need, times: int) -> None:
    sqlite_care.carry_out(partial(_query, connection), need, times)


def _query(connection: Connection, statement: str) -> Sequence[Sequence[Any]]:
    found = connection.exec_driver_sql(statement)
    return found.all() if found.returns_rows else ()


async def _registry(context: Context) -> Registry:
    return await asyncio.to_thread(load_targets, context.settings.targets_file)


def _bots(registry: Registry) -> list[Target]:
    """Return the bots that may have records in SQLite and take commands."""
    return [
        bot
        for bot in registry.of_kind(Kind.BOT)
        if not bot.observe_only and bot.database_file is None
    ]


async def _ask_bots(context: Context) -> tuple[list[str], list[str]]:
    """Send each bot the command; return what they did, and what failed."""
    try:
        registry = await _registry(context)
    except ConfigError as error:
        return [], [f"the bots are not known: {error}"]
    bots = _bots(registry)
    if not bots:
        return [], []
    fences = await context.reader.read(holds.fences_seen)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(session_of(context.settings, name=RECONCILER))
        directory = Directory(session, registry, SecretFiles(context.settings))
        stack.callback(directory.close)
        found, problems = await concurrently(
            {bot.name: partial(_send, directory, bot, fences.get(bot.name, 0)) for bot in bots},
            at_once=AT_ONCE,
            within=SHARE * context.timeout,
        )
    return [f"{name}: {answer}" for name, answer in found.items() if answer != NOTHING], problems


async def _send(directory: Directory, bot: Target, fence: int) -> str:
    ask = partial(
        directory.bot(bot).command,
        COMMAND,
        {},
        attempt_id=f"care:{uuid.uuid4()}",
        within=WITHIN,
    )
    try:
        result = await ask(fence=fence)
    except NotOffered:
        return NOTHING
    except FencedOff as error:
        result = await ask(fence=error.highest)
    if not result.succeeded:
        raise ClientError(result.detail)
    return result.detail


OPTIMIZE = SqliteCare()
