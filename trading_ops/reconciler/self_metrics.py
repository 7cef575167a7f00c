"""The reconciler's metrics about itself, updated outside the loop so that a hung loop shows.

In-memory values are read at each scrape, values of the database periodically.
"""

import asyncio
from dataclasses import dataclass
from functools import partial

from trading_ops import clock, logs
from trading_ops.errors import StoreError
from trading_ops.reconciler.lease import LEASE_SECONDS, USABLE_SECONDS, Lease
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.reconciler.tasks import Succeeded, unwatched
from trading_ops.store import Connection, events, notifications
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer
from trading_ops.tls.expiry import Certificates

log = logs.get(__name__)

EVERY_SECONDS = 5.0
QUARANTINE_EVERY = 12
"""Measurements between counts of rarely changing values that need a table scan."""


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """Updates the metrics until cancelled."""

    writer: Writer
    reader: Reader
    lease: Lease
    metrics: ReconcilerMetrics
    certificates: Certificates

    def follow(self) -> None:
        """Register the in-memory values, which are read at each scrape."""
        self.metrics.writer_queue.set_function(lambda: self.writer.waiting)
        self.metrics.lease_held.set_function(lambda: self.lease.age_seconds < USABLE_SECONDS)
        self.metrics.claims_held.set_function(lambda: len(self.lease.keys))
        self.metrics.lease_until.set_function(self._lease_until)
        self.writer.on_commit = self.metrics.commit.observe

    async def run(self, succeeded: Succeeded = unwatched) -> None:
        """Read the values of the database every few seconds."""
        turn = 0
        while True:
            try:
                await self.reader.read(partial(self._measure, scan=turn % QUARANTINE_EVERY == 0))
            except StoreError as error:
                log.warning("not_measured", error=str(error))
            else:
                succeeded()
            turn += 1
            await asyncio.sleep(EVERY_SECONDS)

    def _measure(self, connection: Connection, *, scan: bool) -> None:
        state = notifications.State
        self.metrics.audit_head.set(events.head(connection))
        self.metrics.inbox.labels("pending").set(notifications.count(connection, state.PENDING))
        for name, expiry in self.certificates.known().items():
            self.metrics.certificate_expiry.labels(name).set(expiry)
        if scan:
            quarantined = notifications.count(connection, state.QUARANTINED)
            self.metrics.inbox.labels("quarantined").set(quarantined)

    def _lease_until(self) -> float:
        age = self.lease.age_seconds
        return 0.0 if age == float("inf") else clock.timestamp() + LEASE_SECONDS - age
