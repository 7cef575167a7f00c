"""What every part of the reconciler is built on."""

import asyncio
from dataclasses import dataclass

import aiohttp

from trading_ops.config.settings import Settings
from trading_ops.reconciler.lease import Lease
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.reconciler.runbook_index import Plans
from trading_ops.reconciler.tasks import Tasks
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer


@dataclass(frozen=True, kw_only=True)
class Base:
    """What everything else is built on."""

    settings: Settings
    plans: Plans
    metrics: ReconcilerMetrics
    writer: Writer
    reader: Reader
    asking: Reader
    """The HTTP border's: however much is asked there, nothing of ours waits behind it."""

    lease: Lease
    tasks: Tasks
    session: aiohttp.ClientSession
    wakeup: asyncio.Event
