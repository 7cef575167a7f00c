"""Maintenance job for SQLite databases: ours, and the records of bots, each by its own writer."""

import asyncio
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import Any

from trading_ops import sqlite_care
from trading_ops.backup.durable import size
from trading_ops.clients.directory import Directory
from trading_ops.clients.http import session_of
from trading_ops.clients.secrets import SecretFiles
from trading_ops.config.targets import load_targets
from trading_ops.domain.job import JobOutcome
from trading_ops.domain.target import Kind, Target
from trading_ops.errors import (
    ActionError,
    ClientError,
    ConfigError,
    FencedOff,
    NotOffered,
    StoreError,
)
from trading_ops.jobs.job import Context, Plan, Result, Step
from trading_ops.sqlite_care import Need
from trading_ops.store import Connection, dialects, holds

RECONCILER = "reconciler"
COMMAND = "optimize_records"
NOTHING = "nothing to do"
"""Of a bot that has nothing to do."""

WITHIN = timedelta(seconds=60)
"""For the command of one bot, which stops itself earlier."""


class SqliteCare:
    """Updates statistics and releases free pages, through the writer like every other write.

    A bot with our agent does the same to its records, in the thread that writes them: a second
    writer could damage them.
    """

    async def plan(self, context: Context) -> Plan:
        """Return each needed step with its reason."""
        needs = await context.reader.read(_needs)
        ours = [
            Step(need.what, need.reason, size(need.bytes) if need.bytes else "") for need in needs
        ]
        answers, problems = await _ask_bots(context, dry_run=True)
        steps = [*ours, *(Step(text, "the bot's own check") for text in answers)]
        return Plan(tuple(steps), refused="" if steps else "; ".join(problems))

    async def run(self, context: Context) -> Result:
        """Run the steps in short transactions; other writes continue in between.

        Raises:
            StoreError: a bot failed; ours and the other bots' databases were taken care of.
        """
        needs = await context.reader.read(_needs)
        for need in needs:
            for times in sqlite_care.batches(need):
                await context.writer.run(partial(_carry_out, need=need, times=times))
        answers, problems = await _ask_bots(context, dry_run=False)
        done = [*(f"{need.what}: {need.reason}" for need in needs), *answers]
        if problems:
            raise StoreError("; ".join(problems + done))
        if not done:
            return Result(JobOutcome.NOTHING_TO_DO, "statistics are recent, and few pages are free")
        return Result(JobOutcome.DONE, "; ".join(done))


def _needs(connection: Connection) -> list[Need]:
    return (
        [] if dialects.is_postgresql(connection) else sqlite_care.find(partial(_query, connection))
    )


def _carry_out(connection: Connection, *, need: Need, times: int) -> None:
    sqlite_care.carry_out(partial(_query, connection), need, times)


def _query(connection: Connection, statement: str) -> Sequence[Sequence[Any]]:
    found = connection.exec_driver_sql(statement)
    return found.all() if found.returns_rows else ()


async def _ask_bots(context: Context, *, dry_run: bool) -> tuple[list[str], list[str]]:
    """Send each bot the command; return what they do, and what failed."""
    settings = context.settings
    try:
        registry = await asyncio.to_thread(load_targets, settings.targets_file)
    except ConfigError as error:
        return [], [f"the bots are not known: {error}"]
    bots = [bot for bot in registry.of_kind(Kind.BOT) if not bot.observe_only]
    if not bots:
        return [], []
    fences = await context.reader.read(holds.fences_seen)
    answers, problems = [], []
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(session_of(settings, name=RECONCILER))
        directory = Directory(session, registry, SecretFiles(settings))
        stack.callback(directory.close)
        for bot in bots:
            try:
                answer = await _send(directory, bot, fences.get(bot.name, 0), dry_run=dry_run)
            except NotOffered:
                continue
            except (ActionError, ClientError) as error:
                problems.append(f"{bot.name}: {error}")
                continue
            if answer != NOTHING:
                answers.append(f"{bot.name}: {answer}")
    return answers, problems


async def _send(directory: Directory, bot: Target, fence: int, *, dry_run: bool) -> str:
    ask = partial(
        directory.bot(bot).command,
        COMMAND,
        {"dry_run": "yes" if dry_run else "no"},
        attempt_id=f"care:{uuid.uuid4()}",
        within=WITHIN,
    )
    try:
        result = await ask(fence=fence)
    except FencedOff as error:
        result = await ask(fence=error.highest)
    if not result.succeeded:
        raise ClientError(result.detail)
    return result.detail


OPTIMIZE = SqliteCare()
